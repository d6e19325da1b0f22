# torchrun --nproc_per_node 8 tools/train.py \
#     configs/poolformer/detr_poolformer-s24_8xb2-150e_coco.py --launcher pytorch
# No published figure: the authors ran no DETR.
_base_ = './detr_poolformer-s24_8xb2-50e_coco.py'

train_cfg = dict(max_epochs=150)
param_scheduler = [dict(type='MultiStepLR', end=150, by_epoch=True, milestones=[100], gamma=0.1)]
