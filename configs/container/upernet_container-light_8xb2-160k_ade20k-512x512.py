# torchrun --nproc_per_node 8 tools/train.py \
#     configs/container/upernet_container-light_8xb2-160k_ade20k-512x512.py --launcher pytorch
# No published figure: Container was never run on ADE20K.
_base_ = '../_base_/upernet_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmplugin.Container',
        arch='light',
        norm_cfg=dict(type='SyncBN'),
        init_cfg=dict(type='Pretrained', checkpoint='mmplugin://container-light_in1k'),
    ),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
    auxiliary_head=dict(in_channels=320),
)

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.gate.': dict(decay_mult=0.0)}))
