# MMPLUGIN_REAL_DATA=FOLDER python tools/train.py configs/demo/fpn_poolformer-s12_ade20k-mini.py
# 33 pictures of ADE20K's validation part, all 150 classes, from scratch: a toy that shows the loss
# going down. Training and evaluation see the same pictures, so its mIoU is not a result.
_base_ = '../poolformer/fpn_poolformer-s12_8xb4-40k_ade20k-512x512.py'

model = dict(data_preprocessor=dict(size=(256, 256)), backbone=dict(init_cfg=None))

data_root = '{{$MMPLUGIN_REAL_DATA:MMPLUGIN_REAL_DATA_is_not_set}}/ade20k_mini/ADEChallengeData2016'
data_prefix = dict(img_path='images/validation', seg_map_path='annotations/validation')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(1024, 256), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(256, 256), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 256), keep_ratio=True),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    num_workers=1,
    dataset=dict(data_root=data_root, data_prefix=data_prefix, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(data_root=data_root, data_prefix=data_prefix, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=150)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=25),
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=25, end=max_iters, by_epoch=False),
]
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=max_iters, max_keep_ckpts=1)
)
log_processor = dict(window_size=10)
randomness = dict(seed=0)
