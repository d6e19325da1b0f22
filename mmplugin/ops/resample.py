"""Linear resampling between a map and a fixed grid that keeps constants, as two small matrices.

U takes a grid of g points to n by half-pixel linear interpolation with clamped edges; P takes n
points to g by U's transpose with rows normalised to one. Where n < g the roles are swapped. So
every row of both sums to one, and both are the identity where n = g.
"""

import torch
from torch import Tensor


def interpolation(g: int, n: int, like: Tensor) -> Tensor:
    """Half-pixel linear interpolation from g to n points, edges clamped: (n, g)."""
    points = torch.arange(n, device=like.device, dtype=like.dtype)
    at = ((points + 0.5) * g / n - 0.5).clamp(0, g - 1)
    knots = torch.arange(g, device=like.device, dtype=like.dtype)
    return (1 - (at[:, None] - knots).abs()).clamp_min(0)


def spread(g: int, n: int, like: Tensor) -> Tensor:
    """The transpose of the interpolation from n to g points, rows normalised: (n, g)."""
    transposed = interpolation(n, g, like).T
    return transposed / transposed.sum(1, keepdim=True)


def down(n: int, g: int, like: Tensor) -> Tensor:
    """P, from n map points to g grid points: (g, n)."""
    return spread(n, g, like) if n >= g else interpolation(n, g, like)


def up(g: int, n: int, like: Tensor) -> Tensor:
    """U, from g grid points to n map points: (n, g)."""
    return interpolation(g, n, like) if n >= g else spread(g, n, like)


def separable(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``rows @ x @ columns^T`` on each channel, in the matrices' dtype (autocast aside)."""
    return (rows @ x.to(rows.dtype) @ columns.mT).to(x.dtype)


def to_grid(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, C, H, W) to (B, C, g_h, g_w)."""
    like = x if x.dtype == torch.float64 else x.new_empty(0, dtype=torch.float32)
    (height, width), (rows, columns) = x.shape[2:], grid
    return separable(x, down(height, rows, like), down(width, columns, like))


def to_map(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, g_h, g_w) to (B, C, H, W)."""
    like = x if x.dtype == torch.float64 else x.new_empty(0, dtype=torch.float32)
    (rows, columns), (height, width) = x.shape[2:], size
    return separable(x, up(rows, height, like), up(columns, width, like))


def resize_table(table: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """U A P: a table for maps of ``target`` that does what A does on a grid of ``source``.

    Args:
        table: (M, N, N) with N tokens of ``source``, rows first.
        source: (rows, columns) the table is for.
        target: (rows, columns) wanted.

    Returns:
        (M, N', N') for the tokens of ``target``. Rows that sum to one still do.
    """
    like = table if table.dtype == torch.float64 else table.new_empty(0, dtype=torch.float32)
    to_target = [up(g, n, like) for g, n in zip(source, target)]
    to_source = [down(n, g, like) for g, n in zip(source, target)]
    resized = torch.kron(*to_target) @ table.to(like.dtype) @ torch.kron(*to_source)
    return resized.to(table.dtype)
