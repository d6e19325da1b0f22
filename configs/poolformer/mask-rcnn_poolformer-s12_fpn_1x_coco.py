# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/mask-rcnn_poolformer-s12_fpn_1x_coco.py --launcher pytorch
# box AP 37.3, mask AP 34.6 (paper Tab. 3 and official detection/README)
_base_ = '../_base_/mask-rcnn_fpn_1x_coco.py'

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

# the authors' configs use 2e-4 here, their paper says 1e-4
optim_wrapper = dict(optimizer=dict(lr=2e-4))
