# Conditional DETR, 50 epochs on COCO at batch 16. As it stands: ResNet-50, the control.
_base_ = 'mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py'
custom_imports = dict(imports=['mmplugin'], allow_failed_imports=False)

model = dict(data_preprocessor=dict(pad_size_divisor=32))

custom_hooks = [dict(type='mmplugin.ConvergenceGuard')]
