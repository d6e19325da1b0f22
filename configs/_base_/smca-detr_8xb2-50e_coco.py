# SMCA-DETR, single scale, 50 epochs on COCO at batch 16, as released. As it stands: ResNet-50.
_base_ = './detr_8xb2-50e_coco.py'

model = dict(
    type='mmplugin.SMCADETR',
    num_queries=300,
    bbox_head=dict(
        type='ConditionalDETRHead',
        loss_cls=dict(
            _delete_=True,
            type='FocalLoss',
            use_sigmoid=True,
            gamma=2.0,
            alpha=0.25,
            loss_weight=2.0,
        ),
    ),
    train_cfg=dict(
        assigner=dict(
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ]
        )
    ),
)

param_scheduler = [dict(type='MultiStepLR', end=50, by_epoch=True, milestones=[40], gamma=0.1)]
