# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/fpn_poolformer-s24_8xb4-40k_ade20k-512x512.py --launcher pytorch
# mIoU 40.3 (paper and official segmentation/README)
_base_ = './fpn_poolformer-s12_8xb4-40k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='s24',
        init_cfg=dict(checkpoint='mmplugin://poolformer-s24_in1k'),
    ),
)
