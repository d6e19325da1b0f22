"""What Triton operations on maps share: how they load kernels, cut maps and take statistics."""

from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

ROWS = 8
"""Rows of a map that a program goes down."""
TILE = 1024
"""Values a program works on at once: 8 a thread."""


def load_kernels(operation: str) -> ModuleType:
    """The kernels of an operation. Triton is imported here and nowhere else.

    Raises:
        RuntimeError: where Triton is not installed.
    """
    try:
        return import_module(f'mmplugin.ops.{operation}_triton_kernels')
    except ImportError as error:
        raise RuntimeError(
            f"fast='triton' needs the package triton on a GPU ({error}); without it choose "
            'fast=True'
        ) from error


def sample_moments(x: Tensor, dtype: torch.dtype, eps: float) -> Tensor:
    """Mean and reciprocal deviation of each sample, (B, 2), centred: exact far from zero too.

    Args:
        x: (B, C, H, W) in any floating dtype and layout.
        dtype: as of :func:`tiling`.
        eps: added to the variance over (C, H, W).
    """
    kernels = load_kernels('maps')
    grid, constants = tiling(kernels, dtype, x)
    parts = new_moments(x, dtype, grid[0], 3)
    moments = new_moments(x, dtype, len(x), 2)
    with torch.cuda.device_of(x):
        kernels.part_moments[grid](x, x.stride(), parts, tuple(x.shape[1:]), **constants)
        kernels.whole_moments[(len(x),)](
            parts, moments, grid[0] // max(len(x), 1), eps=eps, BLOCK=TILE, ACC=constants['ACC']
        )
    return moments


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
    tl = kernels.tl
    return (batch * tiles,), dict(
        ROWS=ROWS,
        BLOCK_W=across,
        BLOCK_C=deep,
        ACC=tl.float64 if dtype == torch.float64 else tl.float32,
        INDEX=index_type(kernels, *maps),
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


def index_type(kernels: ModuleType, *maps: Tensor):
    """The type of offsets inside one sample that all of these maps need."""
    spans = (sum((n - 1) * s for n, s in zip(t.shape[1:], t.stride()[1:])) for t in maps)
    return kernels.tl.int64 if max(spans) >= 2**31 else kernels.tl.int32


def power_of_two(length: int) -> int:
    """The smallest one that is not smaller."""
    return 1 << (length - 1).bit_length()


def new_moments(x: Tensor, dtype: torch.dtype, *shape: int) -> Tensor:
    """Memory for statistics of x, in the dtype that results of ``dtype`` are computed in."""
    return x.new_empty(shape, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
