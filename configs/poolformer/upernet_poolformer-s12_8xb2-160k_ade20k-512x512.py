# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/upernet_poolformer-s12_8xb2-160k_ade20k-512x512.py --launcher pytorch
# No published figure.
_base_ = '../_base_/upernet_160k_ade20k-512x512.py'

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
    decode_head=dict(in_channels=[64, 128, 320, 512]),
    auxiliary_head=dict(in_channels=320),
)
