# torchrun --nproc_per_node 8 tools/train.py \
#     configs/container/detr_container-light-paper_8xb2-50e_coco.py --launcher pytorch
# box AP 38.9 (paper, abstract). No weights of this size are published: pretrain.
_base_ = './detr_container-light_8xb2-50e_coco.py'

model = dict(
    backbone=dict(
        arch='light-paper',
        init_cfg=dict(checkpoint='mmplugin://container-light-paper_in1k'),
    )
)
