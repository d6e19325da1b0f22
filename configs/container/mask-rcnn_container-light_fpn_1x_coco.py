# torchrun --nproc_per_node 8 tools/train.py \
#     configs/container/mask-rcnn_container-light_fpn_1x_coco.py --launcher pytorch
# No published figure for the released network: the paper's is older, most likely light-paper's.
# The recipe is the paper's (A.3).
_base_ = '../_base_/mask-rcnn_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmplugin.Container',
        arch='light',
        norm_eval=True,
        norm_frozen=True,
        init_cfg=dict(type='Pretrained', checkpoint='mmplugin://container-light_in1k'),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)

optim_wrapper = dict(
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'.gate.': dict(decay_mult=0.0)}),
)
