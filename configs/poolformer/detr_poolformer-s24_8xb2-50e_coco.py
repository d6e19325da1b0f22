# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/detr_poolformer-s24_8xb2-50e_coco.py --launcher pytorch
# No published figure: the authors ran no DETR. The schedule is that of PVT.
_base_ = './detr_poolformer-s12_8xb2-50e_coco.py'

model = dict(
    backbone=dict(
        arch='s24',
        init_cfg=dict(checkpoint='mmplugin://poolformer-s24_in1k'),
    ),
)
