# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/upernet_poolformer-s24_8xb2-160k_ade20k-512x512.py --launcher pytorch
# No published figure.
_base_ = './upernet_poolformer-s12_8xb2-160k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='s24',
        init_cfg=dict(checkpoint='mmplugin://poolformer-s24_in1k'),
    ),
)
