# Cascade Mask R-CNN, 1x on COCO, AdamW. As it stands: ResNet-50, the control of the family configs.
_base_ = 'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmplugin'], allow_failed_imports=False)

optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=1e-4))
