# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/fpn_poolformer-s12_8xb4-40k_ade20k-512x512.py --launcher pytorch
# mIoU 37.2 (paper and official segmentation/README)
_base_ = '../_base_/semantic-fpn_40k_ade20k-512x512.py'

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
