# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/mask-rcnn_poolformer-s24_fpn_ms-crop-3x_coco.py --launcher pytorch
# No published figure.
_base_ = './mask-rcnn_poolformer-s12_fpn_ms-crop-3x_coco.py'

model = dict(
    backbone=dict(
        arch='s24',
        init_cfg=dict(checkpoint='mmplugin://poolformer-s24_in1k'),
    ),
)
