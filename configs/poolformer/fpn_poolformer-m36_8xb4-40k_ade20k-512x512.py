# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/fpn_poolformer-m36_8xb4-40k_ade20k-512x512.py --launcher pytorch
# mIoU 42.4 (paper and official segmentation/README)
_base_ = './fpn_poolformer-s12_8xb4-40k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='m36',
        init_cfg=dict(checkpoint='mmplugin://poolformer-m36_in1k'),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
