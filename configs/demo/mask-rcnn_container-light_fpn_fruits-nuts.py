# MMPLUGIN_REAL_DATA=FOLDER python tools/train.py \
#     configs/demo/mask-rcnn_container-light_fpn_fruits-nuts.py
# 18 photos of dates, figs and hazelnuts, evaluated on themselves: an overfit from scratch, which
# shows that the network learns. On CPU or GPU; aims at a box AP above 0.6.
_base_ = '../container/mask-rcnn_container-light_fpn_1x_coco.py'

model = dict(
    backbone=dict(init_cfg=None, norm_eval=False, norm_frozen=False),
    neck=dict(out_channels=128),
    rpn_head=dict(in_channels=128, feat_channels=128),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=128, roi_layer=dict(sampling_ratio=2)),
        bbox_head=dict(in_channels=128, fc_out_channels=512, num_classes=3),
        mask_roi_extractor=dict(out_channels=128, roi_layer=dict(sampling_ratio=2)),
        mask_head=dict(in_channels=128, num_convs=2, conv_out_channels=128, num_classes=3),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=250), rcnn=dict(sampler=dict(num=64))
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=250)),
)

data_root = '{{$MMPLUGIN_REAL_DATA:MMPLUGIN_REAL_DATA_is_not_set}}/fruits_nuts/data/'
data = dict(
    data_root=data_root,
    metainfo=dict(
        classes=('date', 'fig', 'hazelnut'),
        palette=[(214, 39, 40), (148, 103, 189), (31, 119, 180)],
    ),
    ann_file='trainval.json',
    data_prefix=dict(img='images/'),
)
scale = (320, 240)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    num_workers=1,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(**data, pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=1, dataset=dict(**data, pipeline=test_pipeline))
test_dataloader = dict(num_workers=1, dataset=dict(**data, pipeline=test_pipeline))
val_evaluator = dict(ann_file=data_root + 'trainval.json')
test_evaluator = dict(ann_file=data_root + 'trainval.json')

max_iters = 400
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=5))
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=100)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=max_iters, T_max=max_iters - 30),
]
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=1)
)
log_processor = dict(by_epoch=False, window_size=10)
randomness = dict(seed=0)
