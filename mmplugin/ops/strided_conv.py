"""A convolution whose weight gradient is a few matrix products, for channels_last maps on CPUs.

oneDNN's own takes four to five times as long there as its forward pass does (AVX2, 3x3 with
stride 2), which makes it a tenth of PoolFormer's training step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mmplugin.ops.rows import rows_of


@torch.library.custom_op('mmplugin::strided_conv', mutates_args=())
def strided_conv(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    """``conv2d`` with another backward.

    Args:
        x: (B, C, H, W), channels_last.
        weight: (D, C, K, K). bias: (D,).
        stride, padding: in pixels, the same on all sides.
    """
    y = F.conv2d(x, weight, bias, stride, padding)
    return y.contiguous(memory_format=torch.channels_last)


@torch.library.custom_op('mmplugin::strided_conv_backward', mutates_args=())
def strided_conv_backward(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, wants_x: bool
) -> list[Tensor]:
    """Gradients of x (without elements where not wanted), weight and bias."""
    grad = grad.contiguous(memory_format=torch.channels_last)
    rows = rows_of(grad).flatten(0, 1)
    padded = F.pad(x, (padding,) * 4)
    height, width = (stride * (n - 1) + 1 for n in grad.shape[2:])
    dw = weight.new_empty(*weight.shape[2:], *weight.shape[:2])
    for i, row in enumerate(dw):
        for j, target in enumerate(row):  # what this place of the kernel sees, at every output
            seen = padded[:, :, i : i + height : stride, j : j + width : stride]
            torch.mm(rows.t(), rows_of(seen).flatten(0, 1), out=target)
    dx = x.new_empty(0)
    if wants_x:
        sides = [stride, stride], [padding, padding]
        dx = torch.ops.aten.convolution_backward(
            grad, x, weight, None, *sides, [1, 1], False, [0, 0], 1, [True, False, False]
        )[0].contiguous(memory_format=torch.channels_last)
    return [dx, dw.permute(2, 3, 0, 1).contiguous(), rows.sum(0)]


@strided_conv.register_fake
def _(x, weight, bias, stride, padding):
    y = F.conv2d(x, weight, bias, stride, padding)
    return y.contiguous(memory_format=torch.channels_last)


@strided_conv_backward.register_fake
def _(grad, x, weight, stride, padding, wants_x):
    dx = torch.empty_like(x, memory_format=torch.channels_last) if wants_x else x.new_empty(0)
    return [dx, torch.empty_like(weight), weight.new_empty(weight.shape[0])]


def _save(ctx, inputs, output) -> None:
    x, weight, _, *ctx.settings = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx, grad: Tensor) -> tuple:
    wants_x = ctx.needs_input_grad[0]
    dx, dw, db = strided_conv_backward(grad, *ctx.saved_tensors, *ctx.settings, wants_x)
    return dx if wants_x else None, dw, db, None, None


strided_conv.register_autograd(_backward, setup_context=_save)


@register_flop_formula(torch.ops.mmplugin.strided_conv)
def _(x, weight, *settings, out_shape) -> int:
    """A counter does not see inside an operation of ours."""
    return 2 * out_shape.numel() * weight[1:].numel()
