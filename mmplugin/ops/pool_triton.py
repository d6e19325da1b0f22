"""``mmplugin.ops.pool_residual.norm_pool_residual`` as Triton kernels, forward and backward.

The statistics read the map once, mixing reads and writes it once; the backward reads map and
gradient twice and writes once. Nothing is kept for it but the map, the gain and two numbers a
sample. There are no atomics: the same inputs give the same bits.

Tested under Triton's interpreter on a CPU, and compiled for GPUs there. It has **not run on a GPU**
yet, which is why a backbone takes it only with ``fast='triton'``.
"""

import torch
from torch import Tensor

from mmplugin.ops import maps_triton
from mmplugin.ops.maps_triton import new_moments, sample_moments, tiling


def run_triton_norm_pool_residual(
    x: Tensor, gain: Tensor, pool_size: int, eps: float
) -> tuple[Tensor, Tensor]:
    """:func:`mmplugin.ops.pool_residual.norm_pool_residual` on a GPU.

    Args:
        x: (B, C, H, W) in any floating dtype and layout.
        gain: (1, C) or (B, C) in any floating dtype.
        pool_size: odd window size in pixels.
        eps: added to the variance over (C, H, W).

    Returns:
        The result (B, C, H, W), in the layout of x and the dtype to which x and gain promote,
        computed in float32, or in float64 where it has that dtype. And the mean and reciprocal
        deviation of each sample, (B, 2), for the backward.

    Raises:
        RuntimeError: where Triton is not installed.
    """
    kernels = maps_triton.load_kernels('pool')
    y = torch.empty_like(x, dtype=torch.promote_types(x.dtype, gain.dtype))
    moments = sample_moments(x, y.dtype, eps)
    grid, constants = tiling(kernels, y.dtype, x, y)
    sizes = tuple(x.shape[1:])
    with torch.cuda.device_of(x):
        kernels.mix[grid](
            *(x, x.stride(), gain, strides_of_rows(gain), moments, y, y.stride(), sizes),
            RADIUS=pool_size // 2,
            **constants,
        )
    return y, moments


triton_norm_pool_residual = torch.library.custom_op(
    'mmplugin::triton_norm_pool_residual', run_triton_norm_pool_residual, mutates_args=()
)


@torch.library.custom_op('mmplugin::triton_norm_pool_residual_backward', mutates_args=())
def triton_norm_pool_residual_backward(
    grad: Tensor, x: Tensor, gain: Tensor, moments: Tensor, pool_size: int
) -> list[Tensor]:
    """Gradients of x and gain, as ``mmplugin.ops.pool_residual`` derives them.

    Each pass pools the gradient anew, which is cheaper than writing it pooled and reading it back.
    """
    kernels = maps_triton.load_kernels('pool')
    dx = torch.empty_like(x)
    grid, constants = tiling(kernels, moments.dtype, grad, x, dx)
    constants['RADIUS'] = pool_size // 2
    batch, channels, *_ = x.shape
    sizes = tuple(x.shape[1:])
    across = -(-channels // constants['BLOCK_C'])
    parts = moments.new_empty(batch, grid[0] // max(batch * across, 1), channels)
    maps = grad, grad.stride(), x, x.stride()
    with torch.cuda.device_of(x):
        kernels.part_correlation[grid](*maps, moments, parts, sizes, **constants)
        correlation = parts.sum(1)
        kernels.spread[grid](
            *(*maps, gain, strides_of_rows(gain), moments, correlation, dx, dx.stride()),
            sizes,
            BLOCK=256,
            **constants,
        )
    dgain = correlation * moments[:, 1:]
    return [dx, (dgain if len(gain) == batch else dgain.sum(0, keepdim=True)).to(gain.dtype)]


def strides_of_rows(gain: Tensor) -> tuple[int, int]:
    """Strides of a matrix (B, C), of which (1, C) serves every sample."""
    return (gain.stride(0) if len(gain) > 1 else 0), gain.stride(1)


@triton_norm_pool_residual.register_fake
def _(x, gain, *args):
    y = torch.empty_like(x, dtype=torch.promote_types(x.dtype, gain.dtype))
    return y, new_moments(x, y.dtype, len(x), 2)


@triton_norm_pool_residual_backward.register_fake
def _(grad, x, gain, *args):
    return [torch.empty_like(x), gain.new_empty(gain.shape)]


def _save(ctx, inputs, output) -> None:
    x, gain, ctx.pool_size, _ = inputs
    moments = output[1]
    ctx.mark_non_differentiable(moments)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, gain, moments)


def _backward(ctx, grad: Tensor | None, _) -> tuple:
    if grad is None:  # nothing was asked of the map
        return (None,) * 4
    return (
        *triton_norm_pool_residual_backward(grad, *ctx.saved_tensors, ctx.pool_size),
        None,
        None,
    )


triton_norm_pool_residual.register_autograd(_backward, setup_context=_save)
