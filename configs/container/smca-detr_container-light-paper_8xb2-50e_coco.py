# torchrun --nproc_per_node 8 tools/train.py \
#     configs/container/smca-detr_container-light-paper_8xb2-50e_coco.py --launcher pytorch
# box AP 44.2 (SMCA-DETR README, "Container-S-Light"). No weights of this size are published.
_base_ = './smca-detr_container-light_8xb2-50e_coco.py'

model = dict(
    backbone=dict(
        arch='light-paper',
        init_cfg=dict(checkpoint='mmplugin://container-light-paper_in1k'),
    )
)
