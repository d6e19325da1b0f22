"""The operators of mmcv's binary module ``mmcv._ext`` in PyTorch and torchvision.

Every function keeps the signature and the in-place habits of its C++ namesake in mmcv 2.1.0, so
that the Python half of ``mmcv.ops`` runs on it unchanged. They are free of counters, caches and
other side effects, which ``torch.compile`` needs. :mod:`mmplugin.compat.finder` serves them.

fp16 and bf16 arguments are computed in fp32 and rounded once at the end.
"""

from mmplugin.compat.mmcv_ext.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from mmplugin.compat.mmcv_ext.focal import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from mmplugin.compat.mmcv_ext.info import get_compiler_version, get_compiling_cuda_version
from mmplugin.compat.mmcv_ext.ms_deform_attn import ms_deform_attn_backward, ms_deform_attn_forward
from mmplugin.compat.mmcv_ext.nms import nms, nms_match
from mmplugin.compat.mmcv_ext.roi_align import roi_align_backward, roi_align_forward
from mmplugin.compat.mmcv_ext.roi_pool import roi_pool_backward, roi_pool_forward
from mmplugin.compat.mmcv_ext.softnms import softnms

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'nms_match',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softnms',
]
