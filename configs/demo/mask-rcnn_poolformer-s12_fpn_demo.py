# python tools/make_demo_data.py --out data/demo
# python tools/train.py configs/demo/mask-rcnn_poolformer-s12_fpn_demo.py
# From scratch on generated 128-pixel pictures; bar of the demo: box AP 0.55, mask AP 0.55.
_base_ = '../_base_/mask-rcnn_fpn_1x_coco.py'

# from scratch, heads without norms learn slowly
norm_cfg = dict(type='GN', num_groups=16)

model = dict(
    backbone=dict(_delete_=True, type='mmplugin.PoolFormer', arch='s12'),
    # a fifth level's anchors would be wider than the pictures
    neck=dict(in_channels=[64, 128, 320, 512], out_channels=64, num_outs=4, norm_cfg=norm_cfg),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales=[4, 5.66], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28, roi_layer=dict(sampling_ratio=1)),
        bbox_head=dict(
            in_channels=64,
            fc_out_channels=256,
            num_classes=6,
            reg_class_agnostic=True,
            reg_decoded_bbox=True,
            loss_bbox=dict(_delete_=True, type='GIoULoss', loss_weight=10.0),
        ),
        mask_roi_extractor=dict(out_channels=64, roi_layer=dict(output_size=10, sampling_ratio=1)),
        mask_head=dict(
            in_channels=64, num_convs=2, conv_out_channels=64, num_classes=6, norm_cfg=norm_cfg
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=300, max_per_img=150),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.33), mask_size=20),
    ),
    # regions that overlap are worth keeping where objects are a few cells wide and cover each other
    test_cfg=dict(
        rpn=dict(nms_pre=300, max_per_img=300, nms=dict(iou_threshold=0.8)),
        rcnn=dict(nms=dict(type='soft_nms', iou_threshold=0.4)),
    ),
)

data_root = '{{$MMPLUGIN_DEMO_DATA:data/demo}}/coco/'
metainfo = dict(
    classes=('disc', 'square', 'triangle', 'star', 'cross', 'ring'),
    palette=[
        (214, 39, 40),
        (188, 189, 34),
        (44, 160, 44),
        (23, 190, 207),
        (31, 119, 180),
        (200, 70, 180),
    ],
)
# training sees less than the size of the files: half the time a step, and more steps beat more
# pixels here
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(96, 96), keep_ratio=True),
    dict(
        type='RandomFlip',
        prob=[0.25, 0.25, 0.25],
        direction=['horizontal', 'vertical', 'diagonal'],
    ),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(108, 108), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
# loading takes a fortieth of a step; a process of its own would take a core from the step's threads
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

optim_wrapper = dict(
    constructor='mmplugin.GroupedOptimWrapperConstructor',
    optimizer=dict(lr=1.5e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=5),
    # layer scale starts at 1e-5, which would keep the blocks idle for most of so short a run
    paramwise_cfg=dict(
        norm_decay_mult=0.0, custom_keys=dict(layer_scale=dict(lr_mult=10.0, decay_mult=0.0))
    ),
)
max_epochs = 7
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=25),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(
    logger=dict(interval=5), checkpoint=dict(interval=max_epochs, max_keep_ckpts=1)
)
log_processor = dict(window_size=5)
randomness = dict(seed=0)
