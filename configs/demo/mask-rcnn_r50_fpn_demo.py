# python tools/make_demo_data.py --out data/demo
# python tools/train.py configs/demo/mask-rcnn_r50_fpn_demo.py
# ResNet-50 by the demo's recipe, from scratch: the control.
_base_ = './mask-rcnn_poolformer-s12_fpn_demo.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.ResNet',
        depth=50,
        norm_eval=False,
        zero_init_residual=False,
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
