# python tools/make_demo_data.py --out data/demo
# python tools/train.py configs/demo/mask-rcnn_container-small_fpn_demo.py
# A small Container-Light by the demo's recipe, from scratch, so its batch norms train.
_base_ = './mask-rcnn_poolformer-s12_fpn_demo.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmplugin.Container',
        arch=dict(depths=(2, 2, 4, 2), embed_dims=(48, 96, 192, 384), mlp_ratios=(4, 4, 4, 4)),
    ),
    neck=dict(in_channels=[48, 96, 192, 384]),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        _delete_=True, norm_decay_mult=0.0, custom_keys={'.gate.': dict(decay_mult=0.0)}
    )
)
