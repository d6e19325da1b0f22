"""Triton kernel of ``mmplugin.ops.norm_linear_triton``: a matrix product on normalised pixels.

``ACC``, ``INDEX`` and strides are as in ``mmplugin.ops.maps_triton_kernels``.
"""

import triton
import triton.language as tl


@triton.jit
def norm_linear(
    x,
    strides,
    gamma,
    beta,
    moments,
    weight,
    weight_strides,
    bias,
    y,
    sizes,
    units,
    FLAT: tl.constexpr,
    GELU: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
    INDEX: tl.constexpr,
):
    """``y = weight ((x - mean) * rstd * gamma + beta) + bias``, pixel by pixel, y (B, H, W, D).

    A program makes ``BLOCK_D`` of the D units of ``BLOCK_P`` pixels of one sample; neighbours share
    the pixels. ``FLAT``: one stride leads from pixel to pixel, across the ends of rows too.
    """
    channels, height, width = sizes
    pixels = height * width
    step = tl.program_id(0)
    across = tl.cdiv(units, BLOCK_D)
    d = (step % across) * BLOCK_D + tl.arange(0, BLOCK_D)
    step //= across
    across = tl.cdiv(pixels, BLOCK_P)
    p = ((step % across) * BLOCK_P + tl.arange(0, BLOCK_P)).to(INDEX)
    b = (step // across).to(tl.int64)
    mean = tl.load(moments + 2 * b)
    rstd = tl.load(moments + 2 * b + 1)
    at = p * strides[3] if FLAT else (p // width) * strides[2] + (p % width) * strides[3]
    x += b * strides[0]
    total = tl.zeros([BLOCK_P, BLOCK_D], ACC)
    for start in range(0, channels, BLOCK_C):
        c = start + tl.arange(0, BLOCK_C)
        inside = c < channels
        here = (p < pixels)[:, None] & inside[None, :]
        value = tl.load(
            x + at[:, None] + c.to(INDEX)[None, :] * strides[1], mask=here, other=0.0
        ).to(ACC)
        # past the channels both are 0, and so is what they make of the 0 loaded there
        factor = tl.load(gamma + c, mask=inside, other=0.0).to(ACC)
        shift = tl.load(beta + c, mask=inside, other=0.0).to(ACC)
        normal = (value - mean) * rstd * factor[None, :] + shift[None, :]
        part = tl.load(
            weight + c[:, None] * weight_strides[1] + d[None, :] * weight_strides[0],
            mask=inside[:, None] & (d < units)[None, :],
            other=0.0,
        )
        total = tl.dot(normal.to(part.dtype), part, total, input_precision='ieee')
    total += tl.load(bias + d, mask=d < units, other=0.0).to(ACC)[None, :]
    if GELU:
        total = 0.5 * total * (1 + tl.erf(total * 0.7071067811865476))
    tl.store(
        y + b * pixels * units + p[:, None] * units + d.to(INDEX)[None, :],
        total.to(y.dtype.element_ty),
        mask=(p < pixels)[:, None] & (d < units)[None, :],
    )
