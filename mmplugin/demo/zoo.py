"""Every head with every backbone on the generated data: small configs from the shipped templates.

A template of ``configs/_base_`` gets one of ``BACKBONES``, the demo's data and narrow heads, so
that a training takes minutes on two CPU cores. Losses, assigners and all else of the template stay.
"""

from dataclasses import dataclass
from typing import Any

from mmengine.config import Config, ConfigDict

from mmplugin.demo.stages import ROOT


@dataclass(frozen=True)
class Backbone:
    """One backbone.

    Attributes:
        name: In tables and folders.
        cfg: As a config has it, without ``out_indices``. A ResNet is the framework's own.
        channels: Of the four stages.
    """

    name: str
    cfg: dict[str, Any]
    channels: tuple[int, int, int, int]

    def build_cfg(
        self, scope: str, stages: tuple[int, ...], detector: str | None, frozen: bool
    ) -> dict[str, Any]:
        """The config in a framework, with the stages a head reads and a detector's backbone."""
        cfg = dict(self.cfg, out_indices=stages, frozen_stages=max(stages) + 1 if frozen else -1)
        if cfg['type'] == 'ResNet':
            built = max(stages) + 1
            cfg.update(type=f'{scope}.ResNet', num_stages=built)
            cfg.update(strides=(1, 2, 2, 2)[:built], dilations=(1,) * built)
        if detector:
            cfg['init_cfg'] = dict(type='Pretrained', checkpoint=detector, prefix='backbone.')
        return cfg


@dataclass(frozen=True)
class Head:
    """One detector or segmentor.

    Attributes:
        name: In tables and folders.
        template: File in ``configs/_base_``.
        stages: That the neck reads.
        width: Channels of neck and head, of 256 (UPerNet: 512) in the template.
        recipe: ``'conv'``, or ``'transformer'`` on a backbone that stays as it is; see ``RATES``.
    """

    name: str
    template: str
    stages: tuple[int, ...] = (0, 1, 2, 3)
    width: int = 64
    recipe: str = 'conv'


BACKBONES = (
    Backbone('poolformer-s12', dict(type='mmplugin.PoolFormer', arch='s12'), (64, 128, 320, 512)),
    Backbone('container-light', dict(type='mmplugin.Container', arch='light'), (64, 128, 320, 512)),
    Backbone(
        'resnet-50',
        dict(type='ResNet', depth=50, norm_eval=False, zero_init_residual=False),
        (256, 512, 1024, 2048),
    ),
)

# stride 8: of so small a picture it leaves the cells an object that stride 32 leaves on COCO, and
# SMCA's prior is given in cells
SINGLE = dict(stages=(1,), width=128, recipe='transformer')
SEVERAL = dict(stages=(1, 2, 3), width=128, recipe='transformer')
WHOLE = 256  # mmdet's Conditional DETR and DINO have no other width
HEADS = (
    Head('retinanet', 'retinanet_fpn_1x_coco.py'),
    Head('mask-rcnn', 'mask-rcnn_fpn_1x_coco.py'),
    Head('cascade-mask-rcnn', 'cascade-mask-rcnn_fpn_1x_coco.py'),
    Head('detr', 'detr_8xb2-50e_coco.py', **SINGLE),
    Head('smca-detr', 'smca-detr_8xb2-50e_coco.py', **SINGLE),
    Head('conditional-detr', 'conditional-detr_8xb2-50e_coco.py', **{**SINGLE, 'width': WHOLE}),
    Head('dab-detr', 'dab-detr_8xb2-50e_coco.py', **SINGLE),
    Head('deformable-detr-1scale', 'deformable-detr-1scale_8xb4-50e_coco.py', **SINGLE),
    Head('deformable-detr', 'deformable-detr_8xb4-50e_coco.py', **SEVERAL),
    Head('dino-4scale', 'dino-4scale_8xb2-12e_coco.py', **{**SEVERAL, 'width': WHOLE}),
    Head('fpn', 'semantic-fpn_40k_ade20k-512x512.py'),
    Head('upernet', 'upernet_160k_ade20k-512x512.py'),
)

RATES = {'conv': (1.5e-3, 5.0), 'transformer': (1e-3, 0.1)}
"""Learning rate, and largest norm of the gradient."""

SIDE = (112, 112)
"""Longest side in training and test for heads that learn places from an encoding of them."""

NARROW = dict(
    feedforward_channels=512, num_layers=3, fc_out_channels=256, stacked_convs=2,
    num_convs=2, num_queries=100, num_dn_queries=10, dropout=0.0, ffn_drop=0.0, dropout_ratio=0.0,
)  # fmt: skip
WIDE = ('embed_dims', 'in_channels', 'feat_channels', 'out_channels', 'conv_out_channels')
DEMOS = {
    'mmdet': 'configs/demo/mask-rcnn_poolformer-s12_fpn_demo.py',
    'mmseg': 'configs/demo/fpn_poolformer-s12_demo.py',
}
METRICS = {'mmdet': 'coco/bbox_mAP', 'mmseg': 'mIoU'}


@dataclass(frozen=True)
class Budget:
    """What every training of a table gets alike.

    Attributes:
        iterations: Steps.
        batch: Pictures a step.
        validations: How often to validate, the end included.
    """

    iterations: int
    batch: int
    validations: int = 1


def compose(
    head: Head, backbone: Backbone, budget: Budget, seed: int, detector: str | None
) -> Config:
    """The config of one training.

    Args:
        head, backbone, budget: What to train, and for how long.
        seed: Of weights and data order.
        detector: Checkpoint whose backbone to start from; None: from scratch.
    """
    cfg = Config.fromfile(ROOT / 'configs/_base_' / head.template)
    demo = Config.fromfile(ROOT / DEMOS[cfg.default_scope])
    take_data(cfg, demo, head, budget.batch)
    take_model(cfg, demo, head, backbone, detector)
    take_schedule(cfg, RATES[head.recipe], budget, seed)
    return cfg


def take_data(cfg: Config, demo: Config, head: Head, batch: int) -> None:
    """The demo's loaders and evaluator, with masks where the head has them."""
    is_detector, has_masks = cfg.default_scope == 'mmdet', 'mask-rcnn' in head.name
    for name in ('train_dataloader', 'val_dataloader'):
        loader = cfg[name] = demo[name]
        for step in loader.dataset.pipeline:
            if 'with_mask' in step:
                step.with_mask = has_masks
            if head.recipe == 'transformer' and step.type == 'Resize':
                step.scale = SIDE
    cfg.test_dataloader = cfg.val_dataloader
    cfg.train_dataloader.batch_size = batch
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.train_dataloader.pop('batch_sampler', None)
    cfg.val_evaluator = demo.val_evaluator
    if is_detector:
        # mmdet's gives no figure at all where nothing is found
        cfg.val_evaluator.type = 'mmplugin.CocoMetric'
        cfg.val_evaluator.metric = ['bbox', 'segm'] if has_masks else ['bbox']
    cfg.test_evaluator = cfg.val_evaluator


def take_model(
    cfg: Config, demo: Config, head: Head, backbone: Backbone, detector: str | None
) -> None:
    """Narrow the heads and put the backbone in."""
    model, scope = cfg.model, cfg.default_scope
    if scope == 'mmseg':
        model.data_preprocessor.size = demo.model.data_preprocessor.size
    classes = len(demo.train_dataloader.dataset.metainfo.classes)
    for name in set(model) - {'backbone', 'data_preprocessor'}:
        model[name] = narrowed(model[name], head.width, classes, name)
    if head.recipe == 'transformer':
        model.bbox_head.embed_dims = head.width
    if 'rpn_head' in model:  # fewer proposals and regions, as in the demo
        model.train_cfg.rpn_proposal.update(nms_pre=300, max_per_img=150)
        model.test_cfg.rpn.update(nms_pre=300, max_per_img=100)
        stages = model.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = 32
    frozen = head.recipe == 'transformer' and detector is not None
    model.backbone = ConfigDict(backbone.build_cfg(scope, head.stages, detector, frozen))
    channels = [backbone.channels[stage] for stage in head.stages]
    if 'neck' in model:
        model.neck.in_channels = channels
    else:
        model.decode_head.in_channels = channels
        model.auxiliary_head.in_channels = channels[2]


def take_schedule(cfg: Config, rates: tuple[float, float], budget: Budget, seed: int) -> None:
    """Optimiser, learning rates and loops by iterations."""
    (rate, clip), end = rates, budget.iterations
    cfg.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=rate, weight_decay=0.05, betas=(0.9, 0.98), fused=True),
        clip_grad=dict(max_norm=clip),
        paramwise_cfg=dict(
            norm_decay_mult=0.0,
            # it starts at 1e-5, which would keep the blocks idle for most of so short a run
            custom_keys=dict(layer_scale=dict(lr_mult=10.0, decay_mult=0.0)),
        ),
    )
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=25),
        dict(type='CosineAnnealingLR', T_max=end, eta_min=1e-5, by_epoch=False),
    ]
    interval = max(end // budget.validations, 1)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=end, val_interval=interval)
    logged = min(10, end)
    cfg.default_hooks.logger.interval = logged
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=end, max_keep_ckpts=1
    )
    cfg.log_processor = dict(type='LogProcessor', window_size=logged, by_epoch=False)
    cfg.custom_hooks = []
    cfg.randomness = dict(seed=seed)


def narrowed(node: Any, width: int, classes: int, key: str = '') -> Any:
    """A part of a model with fewer channels and layers, and this many classes."""
    if isinstance(node, dict):
        return ConfigDict({k: narrowed(v, width, classes, k) for k, v in node.items()})
    if isinstance(node, (list, tuple)):
        return [narrowed(item, width, classes, key) for item in node]
    if key == 'num_classes':
        return classes
    if key == 'num_feats':  # of a position, half for each axis
        return width // 2
    if (key in WIDE and node == 256) or key == 'channels':
        return width
    return min(node, NARROW[key]) if key in NARROW else node
