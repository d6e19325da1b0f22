# torchrun --nproc_per_node 8 tools/train.py \
#     configs/container/detr_container-light_8xb2-50e_coco.py --launcher pytorch
# No published figure for the released network: the paper's is older, most likely light-paper's.
# The paper does not say its epochs; its ResNet-50 (32.3) fits 50, and PVT's schedule.
_base_ = '../_base_/detr_8xb2-50e_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmplugin.Container',
        arch='light',
        out_indices=(3,),
        norm_eval=True,
        norm_frozen=True,
        init_cfg=dict(type='Pretrained', checkpoint='mmplugin://container-light_in1k'),
    ),
    neck=dict(in_channels=[512]),
)

# mmengine takes the longest key alone, so the backbone's 0.1 stands here again
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'.token_mixer.gate.': dict(lr_mult=0.1, decay_mult=0.0)})
)
