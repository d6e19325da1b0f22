# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/conditional-detr_poolformer-s24_8xb2-50e_coco.py --launcher pytorch
# No published figure.
_base_ = '../_base_/conditional-detr_8xb2-50e_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmplugin.PoolFormer',
        arch='s24',
        out_indices=(3,),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='mmplugin://poolformer-s24_in1k',
        ),
    ),
    neck=dict(in_channels=[512]),
)
