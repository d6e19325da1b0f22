# torchrun --nproc_per_node 8 tools/train.py \
#     configs/container/fpn_container-light_8xb4-40k_ade20k-512x512.py --launcher pytorch
# No published figure: Container was never run on ADE20K. The recipe is PVT's.
_base_ = '../_base_/semantic-fpn_40k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmplugin.Container',
        arch='light',
        norm_cfg=dict(type='SyncBN'),
        init_cfg=dict(type='Pretrained', checkpoint='mmplugin://container-light_in1k'),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.gate.': dict(decay_mult=0.0)}))
