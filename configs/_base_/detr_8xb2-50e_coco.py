# DETR, 50 epochs on COCO at batch 16. As it stands: ResNet-50, the control of the family configs.
_base_ = 'mmdet::detr/detr_r50_8xb2-150e_coco.py'
custom_imports = dict(imports=['mmplugin'], allow_failed_imports=False)

# 32 divides the padded image, so that cells of the backbone and of the masks cover the same pixels
model = dict(data_preprocessor=dict(pad_size_divisor=32))

train_cfg = dict(max_epochs=50)
param_scheduler = [dict(type='MultiStepLR', end=50, by_epoch=True, milestones=[33], gamma=0.1)]
custom_hooks = [dict(type='mmplugin.ConvergenceGuard')]
