"""Deformable convolution, plain (DCN) and modulated (DCNv2), by torchvision's kernels.

Offsets are (b, deformable_group * kH * kW * 2, oh, ow), y before x for every tap. ``columns`` and
``ones`` are work buffers of mmcv's kernels and ``im2col_step`` its batch slice (whose rule mmcv
checks in Python): torchvision brings its own, so they are left alone.
"""

import torch
from torch import Tensor

from mmplugin.compat.mmcv_ext.precision import widen


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the convolution of ``input`` (b, c, h, w) by ``weight`` (o, c/group, kH, kW)."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_convolve(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write ``grad_input`` and ``grad_offset`` in place."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    grads = _gradients(grad_output, input, weight, offset, None, None, geometry)
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the weight gradient to ``grad_weight`` in place."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    # the weight's values do not enter its own gradient
    grads = _gradients(grad_output, input, grad_weight, offset, None, None, geometry)
    grad_weight.add_(grads[1].to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the convolution whose taps are weighed by ``mask``.

    ``mask`` is (b, deformable_group * kernel_h * kernel_w, oh, ow); ``bias`` is (o,), read only
    when ``with_bias``.
    """
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    used_bias = bias if with_bias else None
    output.copy_(_convolve(input, weight, offset, mask, used_bias, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write all five gradients in place (``grad_bias`` only when ``with_bias``)."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    used_bias = bias if with_bias else None
    grads = _gradients(grad_output, input, weight, offset, mask, used_bias, geometry)
    for target, grad in zip((grad_input, grad_weight, grad_offset, grad_mask), grads):
        target.copy_(grad)
    if with_bias:
        grad_bias.copy_(grads[4])


def _operands(input, weight, offset, mask, bias) -> list[Tensor]:
    """The five tensors torchvision wants; absent mask and bias become unread or zero ones."""
    mask = input.new_zeros((input.size(0), 1)) if mask is None else mask
    bias = input.new_zeros(weight.size(0)) if bias is None else bias
    return [widen(tensor) for tensor in (input, weight, offset, mask, bias)]


def _convolve(input, weight, offset, mask, bias, geometry) -> Tensor:
    operands = _operands(input, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*operands, *geometry, mask is not None)


def _gradients(grad_output, input, weight, offset, mask, bias, geometry) -> tuple[Tensor, ...]:
    """Gradients of input, weight, offset, mask and bias, in this order."""
    operands = _operands(input, weight, offset, mask, bias)
    return torch.ops.torchvision._deform_conv2d_backward(
        widen(grad_output), *operands, *geometry, mask is not None
    )
