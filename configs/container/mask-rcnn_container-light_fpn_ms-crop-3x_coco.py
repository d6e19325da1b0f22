# torchrun --nproc_per_node 8 tools/train.py \
#     configs/container/mask-rcnn_container-light_fpn_ms-crop-3x_coco.py --launcher pytorch
# No published figure: the recipe of other hierarchical transformers (Swin, UniFormer) is new here.
_base_ = '../_base_/mask-rcnn_fpn_ms-crop-3x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmplugin.Container',
        arch='light',
        norm_eval=True,
        norm_frozen=True,
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='mmplugin://container-light_in1k'),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.gate.': dict(decay_mult=0.0)}))
