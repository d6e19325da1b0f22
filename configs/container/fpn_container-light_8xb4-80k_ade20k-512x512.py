# torchrun --nproc_per_node 8 tools/train.py \
#     configs/container/fpn_container-light_8xb4-80k_ade20k-512x512.py --launcher pytorch
# No published figure: twice the iterations of the 40k recipe, as UniFormer trains.
_base_ = './fpn_container-light_8xb4-40k_ade20k-512x512.py'

train_cfg = dict(max_iters=80000, val_interval=8000)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=80000, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=8000))
