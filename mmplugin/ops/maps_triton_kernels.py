"""Triton kernels of ``mmplugin.ops.maps_triton``: how programs share maps, and their statistics.

All arithmetic is in ``ACC``. Maps come with their four strides, in any layout; ``INDEX`` is the
type of offsets inside one sample.
"""

import triton
import triton.language as tl


@triton.jit
def strip_of(sizes, ROWS: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr, INDEX):
    """Sample, first row, end of rows, columns (BLOCK_W, 1) and channels (1, BLOCK_C)."""
    channels, height, width = sizes
    step = tl.program_id(0)
    across = tl.cdiv(channels, BLOCK_C)
    c = (step % across) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    step //= across
    across = tl.cdiv(width, BLOCK_W)
    w = (step % across) * BLOCK_W + tl.arange(0, BLOCK_W)[:, None]
    step //= across
    across = tl.cdiv(height, ROWS)
    first = (step % across) * ROWS
    end = tl.minimum(first + ROWS, height)
    return (step // across).to(tl.int64), first, end, w.to(INDEX), c.to(INDEX)


@triton.jit
def part_moments(
    x,
    strides,
    parts,
    sizes,
    ROWS: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
    INDEX: tl.constexpr,
):
    """Count, mean and sum of squared deviations of a program's values, by Welford's recurrence."""
    channels, _, width = sizes
    b, first, end, w, c = strip_of(sizes, ROWS, BLOCK_W, BLOCK_C, INDEX)
    here = (w < width) & (c < channels)
    x += b * strides[0]
    at = c * strides[1] + w * strides[3]
    means = tl.zeros([BLOCK_W, BLOCK_C], ACC)
    squares = tl.zeros([BLOCK_W, BLOCK_C], ACC)
    for h in range(first, end):
        row = x + tl.cast(h, tl.int64) * strides[2]
        value = tl.load(row + at, mask=here, other=0.0).to(ACC)
        change = value - means
        means += change / (h - first + 1).to(ACC)
        squares += change * (value - means)
    rows = (end - first).to(ACC)
    lanes = tl.sum(here.to(ACC))
    mean = tl.sum(means) / lanes
    away = tl.where(here, means - mean, 0.0)
    part = parts + tl.program_id(0).to(tl.int64) * 3
    tl.store(part, rows * lanes)
    tl.store(part + 1, mean)
    tl.store(part + 2, tl.sum(squares) + rows * tl.sum(away * away))


@triton.jit
def whole_moments(parts, moments, count, eps: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr):
    """Mean and reciprocal deviation of a sample from the moments of its parts."""
    b = tl.program_id(0).to(tl.int64)
    parts += b * count * 3
    sizes = tl.zeros([BLOCK], ACC)
    sums = tl.zeros([BLOCK], ACC)
    for start in range(0, count, BLOCK):
        i = start + tl.arange(0, BLOCK)
        size = tl.load(parts + 3 * i, mask=i < count, other=0.0)
        sizes += size
        sums += size * tl.load(parts + 3 * i + 1, mask=i < count, other=0.0)
    size = tl.sum(sizes)
    mean = tl.sum(sums) / size
    squares = tl.zeros([BLOCK], ACC)
    for start in range(0, count, BLOCK):
        i = start + tl.arange(0, BLOCK)
        away = tl.load(parts + 3 * i + 1, mask=i < count, other=0.0) - mean
        squares += tl.load(parts + 3 * i + 2, mask=i < count, other=0.0)
        squares += away * away * tl.load(parts + 3 * i, mask=i < count, other=0.0)
    tl.store(moments + 2 * b, mean)
    tl.store(moments + 2 * b + 1, 1.0 / tl.sqrt(tl.sum(squares) / size + eps))
