# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/fpn_poolformer-m48_8xb4-40k_ade20k-512x512.py --launcher pytorch
# mIoU 42.7 (paper and official segmentation/README)
_base_ = './fpn_poolformer-s12_8xb4-40k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='m48',
        init_cfg=dict(checkpoint='mmplugin://poolformer-m48_in1k'),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
