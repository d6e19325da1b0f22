# torchrun --nproc_per_node 8 tools/train.py \
#     configs/container/mask-rcnn_container-light-paper_fpn_1x_coco.py --launcher pytorch
# box AP 45.1, mask AP 41.3 (paper, abstract). No weights of this size are published: pretrain.
_base_ = './mask-rcnn_container-light_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        arch='light-paper',
        init_cfg=dict(checkpoint='mmplugin://container-light-paper_in1k'),
    )
)
