# MMPLUGIN_REAL_DATA=FOLDER python tools/train.py \
#     configs/demo/mask-rcnn_poolformer-s12_fpn_coco-tiny80.py
# 80 COCO pictures at full size, for a GPU; the laptop version is ...coco-tiny80-320px.py. From
# scratch on so few it can only fit them: val is the train part, test is the held-out part.
_base_ = '../poolformer/mask-rcnn_poolformer-s12_fpn_1x_coco.py'

model = dict(backbone=dict(init_cfg=None))

data_root = '{{$MMPLUGIN_REAL_DATA:MMPLUGIN_REAL_DATA_is_not_set}}/coco_tiny80/'
train_dataloader = dict(
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(data_root=data_root, filter_cfg=dict(filter_empty_gt=False)),
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
    )
)
test_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = dict(ann_file=data_root + 'annotations/instances_train2017.json')
test_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')

max_iters = 400
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=200)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=max_iters, T_max=max_iters - 50),
]
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(by_epoch=False, interval=200, max_keep_ckpts=1)
)
log_processor = dict(by_epoch=False, window_size=10)
randomness = dict(seed=0)
