# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/cascade-mask-rcnn_poolformer-s36_fpn_1x_coco.py --launcher pytorch
# No published figure.
_base_ = './cascade-mask-rcnn_poolformer-s12_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        arch='s36',
        init_cfg=dict(checkpoint='mmplugin://poolformer-s36_in1k'),
    ),
)
