"""Says at once why a DETR will not converge, in place of an AP of 0 after days."""

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm

from mmplugin.registry import HOOKS


@HOOKS.register_module()
class ConvergenceGuard(Hook):
    """Warns, and never stops a run, where a detector of the DETR family is known not to converge.

    At the first iteration: the backbone loaded nothing; its batch norms train on few images; it
    learns as fast as the rest; gradients are not clipped; the batch is far from the one that the
    learning rate is for. Later: the class scores have collapsed to background.

    The last costs one forward pass on a training batch, in evaluation mode, on one GPU, each time.

    Args:
        bn_images: Images a batch norm has to see in a step. Default: 8.
        backbone_lr: Largest share of the other parameters' learning rate that is fine for the
            backbone. Default: 0.5; the authors use 0.1.
        batch_factor: How many times larger or smaller than ``auto_scale_lr.base_batch_size`` the
            batch may be. Default: 2.
        collapse_iters: When to look at the class scores: after this many iterations, and after as
            many again until all is well. Default: 5000; 0 never.
        min_score: Highest score of the batch, for heads with a sigmoid, under which it counts as
            all background. Default: 0.1. With a softmax, it is where background is every query's
            likeliest class.

    Raises:
        ValueError: for a number that is out of range.
    """

    priority = 'LOW'

    def __init__(
        self,
        bn_images: int = 8,
        backbone_lr: float = 0.5,
        batch_factor: float = 2.0,
        collapse_iters: int = 5000,
        min_score: float = 0.1,
    ) -> None:
        numbers = dict(bn_images=bn_images, backbone_lr=backbone_lr, min_score=min_score)
        for name, value in {**numbers, 'collapse_iters': collapse_iters}.items():
            if value < 0:
                raise ValueError(f'ConvergenceGuard: {name} must be 0 or more, got {value!r}')
        if batch_factor < 1:
            raise ValueError(
                f'ConvergenceGuard: batch_factor must be 1 or more, got {batch_factor!r}'
            )
        self.bn_images = bn_images
        self.backbone_lr = backbone_lr
        self.batch_factor = batch_factor
        self.collapse_iters = collapse_iters
        self.min_score = min_score
        self._built: dict | None = None
        self._loaded = False
        self._begun = False
        self._watching = collapse_iters > 0

    def before_run(self, runner: Runner) -> None:
        """Remember the backbone as built, to see later whether anything was read into it."""
        if is_main_process():
            state = bare_model(runner).backbone.state_dict()
            self._built = {key: value.detach().cpu().clone() for key, value in state.items()}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """See whether a detector's checkpoint has anything for the backbone."""
        state = checkpoint.get('state_dict', checkpoint)
        ours = bare_model(runner).state_dict()
        self._loaded |= any(
            key.startswith('backbone.') and key in ours and value.shape == ours[key].shape
            for key, value in state.items()
        )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict) -> None:
        """Report what is wrong with the set-up, once, when the mode of every module is set."""
        if self._begun or not is_main_process():
            return
        self._begun = True
        backbone = bare_model(runner).backbone
        for text in (
            self._weights(backbone),
            self._batch_norms(runner, backbone),
            self._learning_rates(runner, backbone),
            self._clipping(runner),
            self._batch(runner),
        ):
            if text:
                runner.logger.warning(f'ConvergenceGuard: {text}')
        self._built = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: dict | None = None
    ) -> None:
        """Look at the class scores every ``collapse_iters`` iterations, until they are well."""
        if not self._watching or (runner.iter + 1) % self.collapse_iters:
            return
        if not is_main_process():
            return
        self._watching = all_background(bare_model(runner), data_batch, self.min_score)
        if self._watching:
            runner.logger.warning(
                f'ConvergenceGuard: after {runner.iter + 1} iterations every query of a training '
                'batch is background: the class loss has collapsed. Check that boxes and classes '
                'of the data are right, that the backbone is pretrained and normalises images as '
                'in pretraining, and the warnings at the first iteration; then train longer.'
            )

    def _weights(self, backbone: nn.Module) -> str | None:
        if self._loaded or self._built is None:
            return None
        init = backbone.init_cfg
        files = [
            cfg['checkpoint']
            for cfg in (init if isinstance(init, (list, tuple)) else [init or {}])
            if str(cfg.get('type')).endswith('Pretrained')
        ]
        state = backbone.state_dict()
        changed = any(not torch.equal(state[key].cpu(), self._built[key]) for key in state)
        if files and changed:
            return None
        cause = f'{files[0]} gave it no weight' if files else 'its init_cfg names no file'
        return (
            f'the backbone starts from random weights: {cause}. DETR does not converge from '
            "scratch in usual schedules; set model.backbone.init_cfg to dict(type='Pretrained', "
            'checkpoint=FILE), or load_from to a whole detector.'
        )

    def _batch_norms(self, runner: Runner, backbone: nn.Module) -> str | None:
        norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm) and m.training]
        batch = runner.train_dataloader.batch_size or 1
        seen = [
            batch * (get_world_size() if isinstance(norm, SyncBatchNorm) else 1) for norm in norms
        ]
        if not norms or min(seen) >= self.bn_images:
            return None
        return (
            f'{len(norms)} batch norms of the backbone train on {min(seen)} images at a time, too '
            f'few for their statistics (less than {self.bn_images}). Freeze them '
            '(model.backbone.norm_eval=True, and norm_frozen=True where the backbone has it), or '
            'use SyncBN.'
        )

    def _learning_rates(self, runner: Runner, backbone: nn.Module) -> str | None:
        own = {id(parameter) for parameter in backbone.parameters()}
        rates: dict[bool, float] = {True: 0.0, False: 0.0}
        for group in runner.optim_wrapper.param_groups:
            for parameter in group['params']:
                part = id(parameter) in own
                rates[part] = max(rates[part], group.get('initial_lr', group['lr']))
        if rates[True] <= self.backbone_lr * rates[False]:
            return None
        return (
            f'the backbone learns at {rates[True]:g}, the rest at {rates[False]:g}: DETR needs a '
            'tenth for a pretrained backbone. Set optim_wrapper.paramwise_cfg.custom_keys.backbone '
            'to dict(lr_mult=0.1).'
        )

    def _clipping(self, runner: Runner) -> str | None:
        if runner.optim_wrapper.clip_grad_kwargs:
            return None
        return (
            'gradients are not clipped. Set optim_wrapper.clip_grad to '
            'dict(max_norm=0.1, norm_type=2).'
        )

    def _batch(self, runner: Runner) -> str | None:
        scaling = runner.auto_scale_lr or {}
        base = scaling.get('base_batch_size')
        batch = runner.train_dataloader.batch_size
        if not base or not batch or scaling.get('enable'):
            return None
        images = batch * get_world_size() * runner.optim_wrapper._accumulative_counts
        if 1 / self.batch_factor <= images / base <= self.batch_factor:
            return None
        return (
            f'the batch has {images} images, the learning rate is for {base}. Add --cfg-options '
            'auto_scale_lr.enable=True, which scales it, or accumulate gradients '
            f'(optim_wrapper.accumulative_counts={max(round(base / images), 1)}).'
        )


def bare_model(runner: Runner) -> nn.Module:
    """The detector without its distributed wrapper."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


@torch.no_grad()
def all_background(model: nn.Module, data_batch: dict, min_score: float) -> bool:
    """Whether the last decoder layer of a DETR finds nothing in a batch.

    Args:
        model: detector whose ``mode='tensor'`` gives class logits (layers, batch, queries,
            classes) first, as mmdet's DETRs do.
        data_batch: as the data loader gives it.
        min_score: see ``ConvergenceGuard``.
    """
    training = model.training
    model.eval()
    data = model.data_preprocessor(data_batch, False)
    logits = model(**data, mode='tensor')[0][-1].float()
    model.train(training)
    if model.bbox_head.loss_cls.use_sigmoid:
        return bool(logits.sigmoid().max() < min_score)
    return bool((logits.argmax(-1) == logits.shape[-1] - 1).all())
