"""``mmplugin.ops.pool_residual.norm_pool_residual`` as Triton kernels, forward and backward.

The statistics read the map once, mixing reads and writes it once; the backward reads map and
gradient twice and writes once. Nothing is kept for it but the map, the gain and two numbers a
sample. There are no atomics: the same inputs give the same bits.

Tested under Triton's interpreter on a CPU, and compiled for GPUs there. It has **not run on a GPU**
yet, which is why a backbone takes it only with ``fast='triton'``.
"""

from types import ModuleType

import torch
from torch import Tensor

ROWS = 8
"""Rows of a map that a program goes down; it reads ``pool_size - 1`` more."""
TILE = 1024
"""Values a program works on at once: 8 a thread."""


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
    kernels = load_kernels()
    y = torch.empty_like(x, dtype=torch.promote_types(x.dtype, gain.dtype))
    grid, constants = tiling(kernels, y.dtype, x, y)
    parts = new_moments(y, grid[0], 3)
    moments = new_moments(y, len(x), 2)
    sizes = tuple(x.shape[1:])
    with torch.cuda.device_of(x):
        kernels.part_moments[grid](x, x.stride(), parts, sizes, **constants)
        kernels.whole_moments[(len(x),)](
            parts, moments, grid[0] // max(len(x), 1), eps=eps, BLOCK=TILE, ACC=constants['ACC']
        )
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
    kernels = load_kernels()
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


def load_kernels() -> ModuleType:
    """The kernels. Triton is imported here and nowhere else.

    Raises:
        RuntimeError: where Triton is not installed.
    """
    try:
        from mmplugin.ops import pool_triton_kernels
    except ImportError as error:
        raise RuntimeError(
            f"fast='triton' needs the package triton on a GPU ({error}); without it choose "
            'fast=True'
        ) from error
    return pool_triton_kernels


def tiling(kernels: ModuleType, dtype: torch.dtype, *maps: Tensor) -> tuple[tuple[int], dict]:
    """The grid of programs over maps of one size, and the constants of the kernels.

    Args:
        kernels: :func:`load_kernels`.
        dtype: of the result; float64 is computed in float64, anything else in float32.
        maps: (B, C, H, W) in any layouts; the last one decides which way tiles are long.
    """
    batch, channels, height, width = maps[-1].shape
    across, deep = tile_of(maps[-1])
    tiles = -(-height // ROWS) * -(-width // across) * -(-channels // deep)
    spans = (sum((n - 1) * s for n, s in zip(t.shape[1:], t.stride()[1:])) for t in maps)
    tl = kernels.tl
    return (batch * tiles,), dict(
        ROWS=ROWS,
        BLOCK_W=across,
        BLOCK_C=deep,
        ACC=tl.float64 if dtype == torch.float64 else tl.float32,
        INDEX=tl.int64 if max(spans) >= 2**31 else tl.int32,
    )


def tile_of(x: Tensor) -> tuple[int, int]:
    """Columns and channels of a tile, powers of two, long along the dense side of the map."""
    _, channels, _, width = x.shape
    if x.stride(1) < x.stride(3):
        deep = 64 if channels % 64 == 0 else 32
        across = TILE // deep
    else:
        across = min((128, 64, 32), key=lambda n: -(-width // n) * n)  # the fewest idle columns
        deep = TILE // across
    return min(across, power_of_two(width)), min(deep, power_of_two(channels))


def power_of_two(length: int) -> int:
    """The smallest one that is not smaller."""
    return 1 << (length - 1).bit_length()


def strides_of_rows(gain: Tensor) -> tuple[int, int]:
    """Strides of a matrix (B, C), of which (1, C) serves every sample."""
    return (gain.stride(0) if len(gain) > 1 else 0), gain.stride(1)


def new_moments(like: Tensor, *shape: int) -> Tensor:
    """Memory for statistics in the dtype that is computed in."""
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    return like.new_empty(shape, dtype=dtype)


@triton_norm_pool_residual.register_fake
def _(x, gain, *args):
    y = torch.empty_like(x, dtype=torch.promote_types(x.dtype, gain.dtype))
    return y, new_moments(y, len(x), 2)


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
