# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/cascade-mask-rcnn_poolformer-s12_fpn_1x_coco.py --launcher pytorch
# No published figure.
_base_ = '../_base_/cascade-mask-rcnn_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmplugin.PoolFormer',
        arch='s12',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='mmplugin://poolformer-s12_in1k',
        ),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
