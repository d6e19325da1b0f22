# Deformable DETR on four scales, 50 epochs on COCO at batch 32. As it stands: ResNet-50.
_base_ = 'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'
custom_imports = dict(imports=['mmplugin'], allow_failed_imports=False)

model = dict(data_preprocessor=dict(pad_size_divisor=32))

train_dataloader = dict(batch_size=4)
custom_hooks = [dict(type='mmplugin.ConvergenceGuard')]
