# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/retinanet_poolformer-s24_fpn_1x_coco.py --launcher pytorch
# box AP 38.9 (paper Tab. 3 and official detection/README)
_base_ = './retinanet_poolformer-s12_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        arch='s24',
        init_cfg=dict(checkpoint='mmplugin://poolformer-s24_in1k'),
    ),
)
