"""A convolution for training on CPUs, on channels_last maps, by matrix products where those win.

oneDNN's weight gradient takes three to five times as long there as its forward pass does (AVX2,
3x3 with stride 2), which makes it a tenth of PoolFormer's training step. Where a map has few pixels
the copies of the weight into and out of channels_last take longer than all the products.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mmplugin.ops.rows import rows_of


@torch.library.custom_op('mmplugin::strided_conv', mutates_args=())
def strided_conv(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    """``conv2d`` of other speed.

    Args:
        x: (B, C, H, W), channels_last.
        weight: (D, C, K, K). bias: (D,).
        stride, padding: in pixels, the same on all sides.
    """
    size = [(n + 2 * padding - weight.shape[-1]) // stride + 1 for n in x.shape[2:]]
    if not is_small(len(x) * size[0] * size[1], weight):
        y = F.conv2d(x, weight, bias, stride, padding)
        return y.contiguous(memory_format=torch.channels_last)
    rows = torch.addmm(bias, columns_of(x, weight, stride, padding), weight.flatten(1).t())
    return rows.view(len(x), *size, -1).permute(0, 3, 1, 2)


@torch.library.custom_op('mmplugin::strided_conv_backward', mutates_args=())
def strided_conv_backward(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, wants_x: bool
) -> list[Tensor]:
    """Gradients of x (without elements where not wanted), weight and bias."""
    rows = rows_of(grad).flatten(0, 1)
    dx = x.new_empty(0)
    if is_small(len(rows), weight):
        dw = torch.mm(rows.t(), columns_of(x, weight, stride, padding)).view_as(weight)
        if wants_x:
            columns = torch.mm(rows, weight.flatten(1)).unflatten(0, (len(x), -1)).mT
            dx = F.fold(columns, x.shape[2:], weight.shape[2:], 1, padding, stride)
    else:
        dw = torch.mm(rows.t(), windows_of(x, weight, stride, padding, grad.shape[2:]))
        dw = dw.view(len(weight), *weight.shape[2:], -1).permute(0, 3, 1, 2).contiguous()
        if wants_x:
            sides = [stride, stride], [padding, padding]
            dx = torch.ops.aten.convolution_backward(
                grad, x, weight, None, *sides, [1, 1], False, [0, 0], 1, [True, False, False]
            )[0]
    return [dx.contiguous(memory_format=torch.channels_last) if wants_x else dx, dw, rows.sum(0)]


def is_small(pixels: int, weight: Tensor) -> bool:
    """Whether the windows of all outputs are at most half as many numbers as the weight."""
    return 2 * pixels <= len(weight)


def columns_of(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """What each output sees, in the order of the weight: (B H' W', C K K)."""
    columns = F.unfold(x, weight.shape[2:], padding=padding, stride=stride)  # B, C K K, H' W'
    return columns.mT.flatten(0, 1)


def windows_of(x: Tensor, weight: Tensor, stride: int, padding: int, outputs: torch.Size) -> Tensor:
    """The same in the order of a channels_last map: (B H' W', K K C)."""
    x = F.pad(x, (padding,) * 4).permute(0, 2, 3, 1).contiguous()
    sample, down, across, channel = x.stride()
    windows = x.as_strided(
        (len(x), *outputs, *weight.shape[2:], x.shape[-1]),
        (sample, down * stride, across * stride, down, across, channel),
    )
    return windows.reshape(windows.shape[:3].numel(), -1)


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
