"""Triton kernels of ``mmplugin.ops.pool_triton``: normalised pooling with residual, and gradients.

A program takes a strip of one sample: ``ROWS`` rows, ``BLOCK_W`` columns, ``BLOCK_C`` channels.
It goes down the rows with the horizontal sums of one pooling window in registers, so that a row is
pooled once for all windows it is in. ``ACC``, ``INDEX`` and strides are as in
``mmplugin.ops.maps_triton_kernels``.
"""

import triton
import triton.language as tl

from mmplugin.ops.maps_triton_kernels import strip_of


@triton.jit
def share(place, length, RADIUS: tl.constexpr, ACC: tl.constexpr):
    """One over the number of a window's cells that lie inside the map, along one side."""
    cells = tl.minimum(place + RADIUS, length - 1) - tl.maximum(place - RADIUS, 0) + 1
    return 1.0 / tl.maximum(cells, 1).to(ACC)


@triton.jit
def columns_of(w, c, sizes, RADIUS: tl.constexpr, ACC: tl.constexpr):
    """For each column of the windows, left to right: where it lies inside the map, its share."""
    channels, _, width = sizes
    inside = ()
    shares = ()
    for shift in tl.static_range(-RADIUS, RADIUS + 1):
        inside = inside + ((w + shift >= 0) & (w + shift < width) & (c < channels),)
        shares = shares + (share(w + shift, width, RADIUS, ACC),)
    return inside, shares


@triton.jit
def row_sum(x, strides, h, height, at, inside, mean, RADIUS: tl.constexpr, ACC: tl.constexpr):
    """Sum of ``x - mean`` over the windows' cells in row h."""
    row = x + tl.cast(h, tl.int64) * strides[2]
    exists = (h >= 0) & (h < height)
    total = tl.zeros(at.shape, ACC)
    for i in tl.static_range(2 * RADIUS + 1):
        here = inside[i] & exists
        value = tl.load(row + (i - RADIUS) * strides[3] + at, mask=here, other=0.0)
        total += tl.where(here, value.to(ACC) - mean, 0.0)
    return total


@triton.jit
def shared_sum(x, strides, h, height, at, inside, shares, RADIUS: tl.constexpr, ACC: tl.constexpr):
    """Sum over the windows' cells in row h of x divided by the size of that cell's own window."""
    row = x + tl.cast(h, tl.int64) * strides[2]
    exists = (h >= 0) & (h < height)
    total = tl.zeros(at.shape, ACC)
    for i in tl.static_range(2 * RADIUS + 1):
        value = tl.load(row + (i - RADIUS) * strides[3] + at, mask=inside[i] & exists, other=0.0)
        total += value.to(ACC) * shares[i]
    return total * share(h, height, RADIUS, ACC)


@triton.jit
def added(rows, RADIUS: tl.constexpr):
    """The sum of a window's rows."""
    total = rows[0]
    for i in tl.static_range(1, 2 * RADIUS + 1):
        total += rows[i]
    return total


@triton.jit
def mix(
    x,
    strides,
    gain,
    gain_strides,
    moments,
    y,
    y_strides,
    sizes,
    RADIUS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
    INDEX: tl.constexpr,
):
    """``y = x + gain * rstd * (pool(x) - x)``, pooled about the mean, where rounding is least."""
    channels, height, _ = sizes
    b, first, end, w, c = strip_of(sizes, ROWS, BLOCK_W, BLOCK_C, INDEX)
    mean = tl.load(moments + 2 * b)
    factor = tl.load(gain + b * gain_strides[0] + c * gain_strides[1], mask=c < channels, other=0.0)
    factor = factor.to(ACC) * tl.load(moments + 2 * b + 1)
    x += b * strides[0]
    y += b * y_strides[0]
    at = c * strides[1] + w * strides[3]
    y_at = c * y_strides[1] + w * y_strides[3]
    inside, shares = columns_of(w, c, sizes, RADIUS, ACC)
    here, columns = inside[RADIUS], shares[RADIUS]
    rows = ()
    for i in tl.static_range(2 * RADIUS):
        h = first - RADIUS + i
        rows = rows + (row_sum(x, strides, h, height, at, inside, mean, RADIUS, ACC),)
    for h in range(first, end):
        last = row_sum(x, strides, h + RADIUS, height, at, inside, mean, RADIUS, ACC)
        rows = rows + (last,)
        value = tl.load(x + tl.cast(h, tl.int64) * strides[2] + at, mask=here, other=0.0).to(ACC)
        pooled = added(rows, RADIUS) * (columns * share(h, height, RADIUS, ACC))
        mixed = value + factor * (pooled - (value - mean))
        row = y + tl.cast(h, tl.int64) * y_strides[2]
        tl.store(row + y_at, mixed.to(y.dtype.element_ty), mask=here)
        rows = rows[1:]


@triton.jit
def part_correlation(
    grad,
    grad_strides,
    x,
    strides,
    moments,
    parts,
    sizes,
    RADIUS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
    INDEX: tl.constexpr,
):
    """Each channel's sum over a program's pixels of ``(x - mean) * (P' grad - grad)``."""
    channels, height, _ = sizes
    b, first, end, w, c = strip_of(sizes, ROWS, BLOCK_W, BLOCK_C, INDEX)
    mean = tl.load(moments + 2 * b)
    x += b * strides[0]
    grad += b * grad_strides[0]
    at = c * strides[1] + w * strides[3]
    grad_at = c * grad_strides[1] + w * grad_strides[3]
    inside, shares = columns_of(w, c, sizes, RADIUS, ACC)
    here = inside[RADIUS]
    total = tl.zeros([BLOCK_W, BLOCK_C], ACC)
    source = grad, grad_strides
    rows = ()
    for i in tl.static_range(2 * RADIUS):
        h = first - RADIUS + i
        rows = rows + (shared_sum(*source, h, height, grad_at, inside, shares, RADIUS, ACC),)
    for h in range(first, end):
        last = shared_sum(*source, h + RADIUS, height, grad_at, inside, shares, RADIUS, ACC)
        rows = rows + (last,)
        row = tl.cast(h, tl.int64)
        upstream = tl.load(grad + row * grad_strides[2] + grad_at, mask=here, other=0.0).to(ACC)
        value = tl.load(x + row * strides[2] + at, mask=here, other=0.0).to(ACC)
        total += (value - mean) * (added(rows, RADIUS) - upstream)
        rows = rows[1:]
    total = tl.sum(tl.where(here, total, 0.0), axis=0)[None, :]
    part = (tl.program_id(0) // tl.cdiv(channels, BLOCK_C)).to(tl.int64)
    tl.store(parts + part * channels + c, total, mask=c < channels)


@triton.jit
def spread(
    grad,
    grad_strides,
    x,
    strides,
    gain,
    gain_strides,
    moments,
    correlation,
    dx,
    dx_strides,
    sizes,
    RADIUS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK: tl.constexpr,
    ACC: tl.constexpr,
    INDEX: tl.constexpr,
):
    """``dx = grad + gain * rstd * (P' grad - grad) + slope * (x - mean)``."""
    channels, height, width = sizes
    b, first, end, w, c = strip_of(sizes, ROWS, BLOCK_W, BLOCK_C, INDEX)
    mean = tl.load(moments + 2 * b)
    rstd = tl.load(moments + 2 * b + 1)
    gain += b * gain_strides[0]
    products = tl.zeros([BLOCK], ACC)
    for start in range(0, channels, BLOCK):
        i = start + tl.arange(0, BLOCK)
        product = tl.load(correlation + b * channels + i, mask=i < channels, other=0.0)
        g = tl.load(gain + i * gain_strides[1], mask=i < channels, other=0.0)
        products += product * g.to(ACC)
    size = tl.full([], 1.0, ACC) * channels * height * width
    slope = -rstd * rstd * rstd * tl.sum(products) / size
    factor = tl.load(gain + c * gain_strides[1], mask=c < channels, other=0.0).to(ACC) * rstd
    x += b * strides[0]
    grad += b * grad_strides[0]
    dx += b * dx_strides[0]
    at = c * strides[1] + w * strides[3]
    grad_at = c * grad_strides[1] + w * grad_strides[3]
    dx_at = c * dx_strides[1] + w * dx_strides[3]
    inside, shares = columns_of(w, c, sizes, RADIUS, ACC)
    here = inside[RADIUS]
    source = grad, grad_strides
    rows = ()
    for i in tl.static_range(2 * RADIUS):
        h = first - RADIUS + i
        rows = rows + (shared_sum(*source, h, height, grad_at, inside, shares, RADIUS, ACC),)
    for h in range(first, end):
        last = shared_sum(*source, h + RADIUS, height, grad_at, inside, shares, RADIUS, ACC)
        rows = rows + (last,)
        row = tl.cast(h, tl.int64)
        upstream = tl.load(grad + row * grad_strides[2] + grad_at, mask=here, other=0.0).to(ACC)
        value = tl.load(x + row * strides[2] + at, mask=here, other=0.0).to(ACC)
        moved = factor * (added(rows, RADIUS) - upstream)
        value = upstream + moved + slope * (value - mean)
        tl.store(dx + row * dx_strides[2] + dx_at, value.to(dx.dtype.element_ty), mask=here)
        rows = rows[1:]
