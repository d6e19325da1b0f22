# python tools/make_demo_data.py --out data/demo
# python tools/train.py configs/demo/fpn_poolformer-s12_demo.py
# From scratch on generated 128-pixel pictures; bar of the demo: mIoU 60.
_base_ = '../_base_/semantic-fpn_40k_ade20k-512x512.py'

model = dict(
    data_preprocessor=dict(size=(96, 96)),
    backbone=dict(_delete_=True, type='mmplugin.PoolFormer', arch='s12'),
    neck=dict(in_channels=[64, 128, 320, 512], out_channels=64),
    decode_head=dict(
        in_channels=[64, 64, 64, 64], channels=64, num_classes=9, norm_cfg=dict(type='BN')
    ),
)

data_root = '{{$MMPLUGIN_DEMO_DATA:data/demo}}/ade'
metainfo = dict(
    classes=(
        'stripes',
        'checks',
        'dots',
        'disc',
        'square',
        'triangle',
        'star',
        'cross',
        'ring',
    ),
    palette=[
        (205, 170, 125),
        (150, 205, 170),
        (170, 160, 215),
        (214, 39, 40),
        (188, 189, 34),
        (44, 160, 44),
        (23, 190, 207),
        (31, 119, 180),
        (200, 70, 180),
    ],
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=(96, 96)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
# not ADE20KDataset: that one insists on class names out of ADE20K's 150
dataset = dict(
    type='BaseSegDataset',
    data_root=data_root,
    metainfo=metainfo,
    img_suffix='.jpg',
    seg_map_suffix='.png',
    reduce_zero_label=True,
)
train_dataloader = dict(
    batch_size=8, num_workers=1, dataset=dict(pipeline=train_pipeline, **dataset)
)
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline, **dataset))
test_dataloader = val_dataloader

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5),
)
max_iters = 280
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=25),
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=70)
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=max_iters, max_keep_ckpts=1))
log_processor = dict(window_size=5)
randomness = dict(seed=0)
