"""Normalised average pooling, its subtraction, scale and residual as one interpolation.

With ``count_include_pad=False`` average pooling is an affine average at every pixel, border
included, so it commutes with the affine map of a one-group GroupNorm:
``pool(norm(x)) - norm(x) = gamma * rstd * (pool(x) - x)``. The norm's bias and mean cancel, and
the whole token half of a PoolFormer block becomes ``lerp(x, pool(x), gain * rstd)``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmplugin.ops.rows import map_of, moments, pieces, rows_of


def average_pool(x: Tensor, pool_size: int) -> Tensor:
    """Same-size average pooling that counts only pixels inside the map.

    Args:
        x: (B, C, H, W).
        pool_size: odd window size in pixels.
    """
    return F.avg_pool2d(x, pool_size, stride=1, padding=pool_size // 2, count_include_pad=False)


def norm_pool_residual(x: Tensor, gain: Tensor, pool_size: int, eps: float) -> Tensor:
    """``x + gain * (pool(n) - n)`` where n is x with zero mean and unit variance per sample.

    Exact, forward and backward; the plain form it replaces is
    ``mmplugin.block.MetaFormerBlock.mix_tokens`` with a ``Pooling`` mixer.

    Args:
        x: (B, C, H, W) in any floating dtype.
        gain: broadcastable to (B, C, 1, 1): norm weight, layer scale and drop-path multiplier.
        pool_size: odd window size in pixels.
        eps: added to the variance over (C, H, W), as in ``torch.nn.GroupNorm``.

    Returns:
        (B, C, H, W) in the dtype to which x and gain promote, as the plain form gives it: float32
        under autocast, half precision only where gain is half precision too. Half-precision
        inputs are computed in float32, since rounding ``pool(x)`` before the subtraction loses
        the small difference.
    """
    dtype = torch.promote_types(x.dtype, gain.dtype)
    if dtype in (torch.float16, torch.bfloat16):
        return norm_pool_residual(x.float(), gain.float(), pool_size, eps).to(dtype)
    x, gain = x.to(dtype), gain.to(dtype)
    variance = x.var(dim=(1, 2, 3), correction=0, keepdim=True)
    return torch.lerp(x, average_pool(x, pool_size), gain * torch.rsqrt(variance + eps))


def run_norm_pool_residual(x: Tensor, gain: Tensor, pool_size: int, eps: float) -> Tensor:
    """:func:`norm_pool_residual` on the CPU, in fewer passes; saves nothing but x and gain.

    Args:
        x: (B, C, H, W), float32 or float64.
        gain: (1, C) or (B, C), of the same dtype.
        pool_size, eps: as there.

    Returns:
        (B, C, H, W), channels_last.
    """
    source = rows_of(x)
    pooled = average_pool(map_of(source, x), pool_size)
    for i, (rows, target) in enumerate(zip(source, rows_of(pooled))):
        torch.lerp(rows, target, gain[i % len(gain)] * rstd_of(rows, eps)[1], out=target)
    return pooled


fused_norm_pool_residual = torch.library.custom_op(
    'mmplugin::norm_pool_residual', run_norm_pool_residual, mutates_args=()
)


@torch.library.custom_op('mmplugin::norm_pool_residual_backward', mutates_args=())
def fused_norm_pool_residual_backward(
    grad: Tensor, x: Tensor, gain: Tensor, pool_size: int, eps: float
) -> list[Tensor]:
    """Gradients of x and gain.

    With P the pooling, ``sum(grad * (P x - x)) = sum(x * (P' grad - grad))``: the gradient of gain
    comes from what that of x needs anyway, and the forward's pooling is not repeated.
    """
    source, upstream = rows_of(x), rows_of(grad)
    dgain = torch.zeros_like(gain)
    # P' spreads each pixel's gradient over its window: a plain box sum of grad / window size
    shares = pool_size**2 / torch.outer(*(window_sizes(n, pool_size, grad) for n in x.shape[2:]))
    moved = F.avg_pool2d(map_of(upstream, x) * shares, pool_size, 1, pool_size // 2)
    moved = rows_of(moved).sub_(upstream)
    for i, (rows, dy, target) in enumerate(zip(source, upstream, moved)):
        mean, rstd = rstd_of(rows, eps)
        g = gain[i % len(gain)]
        correlation = torch.zeros_like(g)
        for r, t in pieces(rows, target):
            correlation += torch.sub(r, mean).mul_(t).sum(0)
        dgain[i % len(gain)] += rstd * correlation
        slope = -(rstd**3) * torch.dot(g, correlation) / rows.numel()
        for r, d, t in pieces(rows, dy, target):
            torch.addcmul(d, t, g * rstd, out=t).addcmul_(torch.sub(r, mean), slope)
    return [map_of(moved, x), dgain]


def rstd_of(rows: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and reciprocal deviation of all of a matrix."""
    mean, variance = moments(rows)
    return mean, torch.rsqrt(variance + eps)


def window_sizes(length: int, pool_size: int, like: Tensor) -> Tensor:
    """How many of a window's cells lie inside the map, at each place along one side."""
    return F.avg_pool1d(like.new_ones(1, length), pool_size, 1, pool_size // 2)[0] * pool_size


@fused_norm_pool_residual.register_fake
def _(x, *args):
    return torch.empty_like(x, memory_format=torch.channels_last)


@fused_norm_pool_residual_backward.register_fake
def _(grad, x, gain, *args):
    return [torch.empty_like(x, memory_format=torch.channels_last), torch.empty_like(gain)]


def _save(ctx, inputs, output) -> None:
    x, gain, *ctx.settings = inputs
    ctx.save_for_backward(x, gain)


def _backward(ctx, grad: Tensor) -> tuple:
    grads = fused_norm_pool_residual_backward(grad, *ctx.saved_tensors, *ctx.settings)
    return (*grads, None, None)


fused_norm_pool_residual.register_autograd(_backward, setup_context=_save)
