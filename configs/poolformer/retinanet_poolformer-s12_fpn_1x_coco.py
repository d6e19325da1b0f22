# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/retinanet_poolformer-s12_fpn_1x_coco.py --launcher pytorch
# box AP 36.2 (paper Tab. 3 and official detection/README)
_base_ = '../_base_/retinanet_fpn_1x_coco.py'

# FPN levels P3 to P7: stage 1 is neither used nor normed
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmplugin.PoolFormer',
        arch='s12',
        out_indices=(1, 2, 3),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='mmplugin://poolformer-s12_in1k',
        ),
    ),
    neck=dict(in_channels=[128, 320, 512], start_level=0),
)
