# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/detr_poolformer-s12_8xb2-50e_coco.py --launcher pytorch
# No published figure: the authors ran no DETR. The schedule is that of PVT.
_base_ = '../_base_/detr_8xb2-50e_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmplugin.PoolFormer',
        arch='s12',
        out_indices=(3,),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='mmplugin://poolformer-s12_in1k',
        ),
    ),
    neck=dict(in_channels=[512]),
)
