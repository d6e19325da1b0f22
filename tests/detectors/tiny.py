"""A small SMCA-DETR on a small PoolFormer, and batches of images of unequal sizes."""

import copy

import torch
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

ATTENTION = dict(embed_dims=16, num_heads=4, dropout=0.1, batch_first=True)
LAYER = dict(
    self_attn_cfg=ATTENTION,
    ffn_cfg=dict(embed_dims=16, feedforward_channels=24, num_fcs=2, ffn_drop=0.1),
)
SMCA = dict(
    type='mmplugin.SMCADETR',
    num_queries=7,
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    backbone=dict(
        type='mmplugin.PoolFormer',
        arch=dict(depths=(1, 1, 1, 1), embed_dims=(4, 6, 8, 10)),
        out_indices=(3,),
    ),
    neck=dict(type='ChannelMapper', in_channels=[10], kernel_size=1, out_channels=16, act_cfg=None),
    encoder=dict(num_layers=1, layer_cfg=LAYER),
    decoder=dict(num_layers=2, layer_cfg=dict(LAYER, cross_attn_cfg=ATTENTION)),
    positional_encoding=dict(num_feats=8, normalize=True),
    bbox_head=dict(
        type='ConditionalDETRHead',
        num_classes=3,
        embed_dims=16,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=5),
)


def build(**changes):
    """SMCA with other values for some of its keys, under mmdet's scope, as a config builds it."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(copy.deepcopy({**SMCA, **changes}))


def batch(model, shapes, training=False):
    """Random images of these (height, width), padded by the model's own preprocessor."""
    generator = torch.Generator().manual_seed(1)
    inputs, samples = [], []
    for height, width in shapes:
        inputs.append(torch.randint(0, 255, (3, height, width), generator=generator).byte())
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0)
            )
        )
        boxes = torch.tensor([[2.0, 3.0, 20.0, 25.0], [8.0, 4.0, 30.0, 20.0]])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 2]))
        samples.append(sample)
    return model.data_preprocessor(dict(inputs=inputs, data_samples=samples), training)
