# python tools/make_demo_data.py --out data/demo
# python tools/train.py configs/demo/mask-rcnn_container-light_fpn_demo.py
# The whole Container-Light by the demo's recipe, from scratch, so its batch norms train.
_base_ = './mask-rcnn_container-small_fpn_demo.py'

model = dict(
    backbone=dict(_delete_=True, type='mmplugin.Container', arch='light'),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
