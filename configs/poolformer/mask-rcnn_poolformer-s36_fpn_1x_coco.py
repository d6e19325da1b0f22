# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/mask-rcnn_poolformer-s36_fpn_1x_coco.py --launcher pytorch
# box AP 41.0, mask AP 37.7 (paper Tab. 3 and official detection/README)
_base_ = './mask-rcnn_poolformer-s12_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        arch='s36',
        init_cfg=dict(checkpoint='mmplugin://poolformer-s36_in1k'),
    ),
)
