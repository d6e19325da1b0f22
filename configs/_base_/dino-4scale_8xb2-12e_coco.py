# DINO on four scales, 12 epochs on COCO at batch 16. As it stands: ResNet-50, the control.
_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
custom_imports = dict(imports=['mmplugin'], allow_failed_imports=False)

model = dict(data_preprocessor=dict(pad_size_divisor=32))

custom_hooks = [dict(type='mmplugin.ConvergenceGuard')]
