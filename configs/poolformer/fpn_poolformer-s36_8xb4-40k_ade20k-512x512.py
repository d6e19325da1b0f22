# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/fpn_poolformer-s36_8xb4-40k_ade20k-512x512.py --launcher pytorch
# mIoU 42.0 (paper and official segmentation/README)
_base_ = './fpn_poolformer-s12_8xb4-40k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='s36',
        init_cfg=dict(checkpoint='mmplugin://poolformer-s36_in1k'),
    ),
)
