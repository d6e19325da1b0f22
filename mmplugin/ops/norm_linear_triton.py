"""Norm and the 1x1 convolution behind it, with or without GELU, as one Triton kernel.

The normalised map exists a tile at a time, in float32 registers, and is rounded only for the
product, as by a norm of its own, so precision is the same however far the mean is from zero. The
statistics read the map once, the product once more for each 128 output channels, mostly from the
cache. The backward is made of torch's own matrix products on the map normalised anew; nothing is
kept for it but the map, the parameters and two numbers a sample.

Tested under Triton's interpreter on a CPU, and compiled for GPUs there. It has **not run on a GPU**
yet, which is why a backbone takes it only with ``fast='triton'``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mmplugin.ops import maps_triton
from mmplugin.ops.maps_triton import index_type, new_moments, power_of_two, sample_moments
from mmplugin.ops.rows import map_of, rows_of

BLOCK_C = 32
"""Input channels multiplied at once: three such pairs of tiles fit the memory that GPUs share among
threads, from compute capability 8.0 on."""


def plain_norm_linear(
    x: Tensor, gamma: Tensor, beta: Tensor, weight: Tensor, bias: Tensor, eps: float, gelu: bool
) -> Tensor:
    """``fc1(group_norm(x))``, layer by layer: the twin of the kernel.

    Args:
        x: (B, C, H, W).
        gamma, beta: (C,), of a norm over all of each sample.
        weight, bias: (D, C) and (D,).
        eps: of the norm.
        gelu: whether GELU follows.
    """
    n = F.group_norm(x, 1, gamma.to(x.dtype), beta.to(x.dtype), eps).to(weight.dtype)
    z = F.conv2d(n, weight[:, :, None, None], bias)
    return F.gelu(z) if gelu else z


def run_triton_norm_linear(
    x: Tensor, gamma: Tensor, beta: Tensor, weight: Tensor, bias: Tensor, eps: float, gelu: bool
) -> tuple[Tensor, Tensor]:
    """:func:`plain_norm_linear` on a GPU; arguments as there, of any dtypes but float64.

    Returns:
        (B, D, H, W), channels_last, in the dtype of the weight, which is that of the product; sums
        are float32, and the product of a float32 weight is not rounded to TF32. And the mean and
        reciprocal deviation of each sample, (B, 2), for the backward.

    Raises:
        ValueError: for float64.
        RuntimeError: where Triton is not installed.
    """
    if torch.float64 in (x.dtype, weight.dtype):
        raise ValueError('triton_norm_linear computes in float32 and takes no float64')
    kernels = maps_triton.load_kernels('norm_linear')
    tl = kernels.tl
    y = new_hidden(x, weight)
    moments = sample_moments(x, x.dtype, eps)
    batch, channels, height, width = x.shape
    half = weight.dtype != torch.float32
    widest = 128 if half else 64
    across = max(16, min(widest, power_of_two(height * width)))
    deep = max(16, min(widest, power_of_two(len(weight))))
    grid = (batch * -(-(height * width) // across) * -(-len(weight) // deep),)
    with torch.cuda.device_of(x):
        kernels.norm_linear[grid](
            *(x, x.stride(), gamma.contiguous(), beta.contiguous(), moments),
            *(weight, weight.stride(), bias.contiguous(), y, tuple(x.shape[1:]), len(weight)),
            FLAT=x.stride(2) == width * x.stride(3),
            GELU=gelu,
            BLOCK_P=across,
            BLOCK_D=deep,
            BLOCK_C=max(16, min(BLOCK_C, power_of_two(channels))),
            ACC=tl.float32,
            INDEX=index_type(kernels, x, y),
            num_warps=8 if half else 4,
        )
    return y, moments


triton_norm_linear = torch.library.custom_op(
    'mmplugin::triton_norm_linear', run_triton_norm_linear, mutates_args=()
)


def new_hidden(x: Tensor, weight: Tensor) -> Tensor:
    """Memory for the result (B, D, H, W), channels_last."""
    shape = x.shape[0], weight.shape[0], *x.shape[2:]
    return torch.empty(
        shape, dtype=weight.dtype, device=x.device, memory_format=torch.channels_last
    )


@torch.library.custom_op('mmplugin::triton_norm_linear_backward', mutates_args=())
def triton_norm_linear_backward(
    grad: Tensor,
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    weight: Tensor,
    bias: Tensor,
    moments: Tensor,
    gelu: bool,
) -> list[Tensor]:
    """Gradients of x, gamma, beta, weight and bias.

    With ``n = gamma * xhat + beta`` and ``z = weight n + bias``, the sums over pixels that gamma,
    beta, the weight and the norm's own backward need all come from ``dz' xhat`` and ``sum(dz)``.
    """
    mean, rstd = moments[:, None].split(1, dim=-1)
    factor, shift, wide = (t.to(moments.dtype) for t in (gamma, beta, weight))
    hat = (rows_of(x) - mean) * rstd
    dz = rows_of(grad)
    if gelu:
        n = torch.addcmul(shift, hat, factor).to(weight.dtype)
        dz = torch.ops.aten.gelu_backward(dz, F.linear(n, weight, bias))
    by_offset = dz.sum(1, dtype=hat.dtype)
    by_hat = torch.bmm(dz.mT, hat.to(weight.dtype)).to(hat.dtype)
    by_gamma = torch.linalg.vecdot(wide, by_hat, dim=-2)
    by_beta = by_offset @ wide
    # backward of the norm: minus the mean of the gradient and its projection on xhat
    size = x.shape[1:].numel()
    level, slope = (((sums @ factor)[:, None, None] / size) for sums in (by_beta, by_gamma))
    dx = (dz @ weight) * factor
    dx = dx.sub_(level).addcmul_(hat, slope, value=-1).mul_(rstd)
    by_offset = by_offset.sum(0)
    dweight = torch.addcmul(torch.outer(by_offset, shift), by_hat.sum(0), factor)
    return [
        map_of(dx.to(x.dtype), x),
        by_gamma.sum(0).to(gamma.dtype),
        by_beta.sum(0).to(beta.dtype),
        dweight.to(weight.dtype),
        by_offset.to(bias.dtype),
    ]


@triton_norm_linear.register_fake
def _(x, gamma, beta, weight, *args):
    return new_hidden(x, weight), new_moments(x, x.dtype, len(x), 2)


@triton_norm_linear_backward.register_fake
def _(grad, x, *args):
    dx = torch.empty_like(x, memory_format=torch.channels_last)
    return [dx, *(parameter.new_empty(parameter.shape) for parameter in args[:4])]


def _save(ctx, inputs, output) -> None:
    *tensors, _, ctx.gelu = inputs
    moments = output[1]
    ctx.mark_non_differentiable(moments)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, moments)


def _backward(ctx, grad: Tensor | None, _) -> tuple:
    if grad is None:  # nothing was asked of the map
        return (None,) * 7
    return (*triton_norm_linear_backward(grad, *ctx.saved_tensors, ctx.gelu), None, None)


triton_norm_linear.register_autograd(_backward, setup_context=_save)


@register_flop_formula(torch.ops.mmplugin.triton_norm_linear)
def _(x, gamma, beta, weight, *shapes, **settings) -> int:
    """Of the matrix product; a counter does not see inside an operation of ours."""
    return 2 * x.numel() * weight[0]
