"""Norm, channel MLP, scale and residual in one pass over the map, for CPUs.

The hidden map of an MLP is four to eight times as large as its input. At inference it exists only
a few rows at a time, inside the processor's cache, and is never written to memory; in training the
backward pass computes it again where that is cheaper than memory, and loads it elsewhere.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mmplugin.ops.rows import map_of, moments, pieces, rows_of

CHEAP_CHANNELS = 128
"""Up to here a hidden value costs less to compute again than to write and read."""


def plain_mlp_residual(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor,
    eps: float,
) -> Tensor:
    """``x + scale * fc2(gelu(fc1(group_norm(x))))``, layer by layer: the twin of the fused form.

    Args:
        x: (B, C, H, W).
        gamma, beta: (C,), of a norm over all of each sample.
        w1, b1: (D, C) and (D,). w2, b2: (C, D) and (C,).
        scale: (1, C) or (B, C).
        eps: of the norm.
    """
    n = F.group_norm(x, 1, gamma, beta, eps)
    hidden = F.gelu(F.conv2d(n, w1[:, :, None, None], b1))
    return x + scale[:, :, None, None] * F.conv2d(hidden, w2[:, :, None, None], b2)


def run_norm_mlp_residual(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor,
    eps: float,
    keep_hidden: bool,
) -> tuple[Tensor, Tensor]:
    """The fused form of :func:`plain_mlp_residual`; arguments as there, on the CPU.

    Args:
        keep_hidden: return what the backward pass would compute again.

    Returns:
        (B, C, H, W), channels_last, and the output of fc1, (B, H W, D) or without elements.
    """
    source = rows_of(x)
    out = torch.empty_like(source)
    hidden = x.new_empty(*source.shape[:2], len(w1)) if keep_hidden else x.new_empty(0)
    for i, (rows, target) in enumerate(zip(source, out)):
        factor, shift = affine_of_norm(rows, gamma, beta, eps)
        s = scale[i % len(scale)]
        kept = hidden[i] if keep_hidden else None
        add_mlp(rows, target, factor, shift, w1, b1, w2 * s[:, None], b2 * s, kept)
    return map_of(out, x), hidden


norm_mlp_residual = torch.library.custom_op(
    'mmplugin::norm_mlp_residual', run_norm_mlp_residual, mutates_args=()
)


def affine_of_norm(rows: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """A norm of one sample (N, C) as ``factor * x + shift``, each (C,)."""
    mean, variance = moments(rows)
    factor = gamma * torch.rsqrt(variance + eps)
    return factor, beta - mean * factor


def add_mlp(
    rows: Tensor,
    out: Tensor,
    factor: Tensor | None,
    shift: Tensor | None,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    kept: Tensor | None = None,
) -> None:
    """``out = x + fc2(gelu(fc1(factor * x + shift)))`` on (N, C); ``out`` may be ``rows``.

    Without gradient. ``factor`` and ``shift`` are None where the norm is in ``w1`` and ``b1``;
    ``kept`` (N, D) takes the output of fc1.
    """
    kept = rows.new_empty(len(rows), 0) if kept is None else kept
    for x, y, z in pieces(rows, out, kept):
        n = x if factor is None else torch.addcmul(shift, x, factor)
        if z.numel():
            hidden = F.gelu(torch.addmm(b1, n, w1.t(), out=z))
        else:
            hidden = torch.addmm(b1, n, w1.t())
            torch.ops.aten.gelu_(hidden)
        torch.add(x, b2, out=y)
        torch.addmm(y, hidden, w2.t(), out=y)


def run_mlp_residual(
    x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, eps: float | None
) -> Tensor:
    """``x + fc2(gelu(fc1(n)))`` for inference on the CPU, channels_last.

    Args:
        x, w1, b1, w2, b2: as in :func:`plain_mlp_residual`.
        eps: of the norm without affine that makes n from x; None: n is x.
    """
    source = rows_of(x)
    out = torch.empty_like(source)
    factor = shift = None
    for rows, target in zip(source, out):
        if eps is not None:
            factor, shift = affine_of_norm(rows, x.new_ones(()), x.new_zeros(()), eps)
        add_mlp(rows, target, factor, shift, w1, b1, w2, b2)
    return map_of(out, x)


mlp_residual = torch.library.custom_op('mmplugin::mlp_residual', run_mlp_residual, mutates_args=())


@torch.library.custom_op('mmplugin::norm_mlp_residual_backward', mutates_args=())
def norm_mlp_residual_backward(
    grad: Tensor,
    hidden: Tensor,
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor,
    eps: float,
) -> list[Tensor]:
    """Gradients of x, gamma, beta, w1, b1, w2, b2 and scale.

    Sums over pixels are taken from products of small matrices: with ``n = gamma * xhat + beta``,
    ``dw1 = (dz' xhat) gamma + db1 beta'``, so those of gamma, beta and of the norm's own backward
    cost no pass over the map; neither does that of the scale, which is ``sum(w2 * dy' gelu(z))``.
    """
    source, upstream = rows_of(x), rows_of(grad)
    dx = torch.empty_like(source)
    dw1, db1, dw2, db2 = (torch.zeros_like(t) for t in (w1, b1, w2, b2))
    dgamma, dbeta, dscale = (torch.zeros_like(t) for t in (gamma, beta, scale))
    folded = w1 * gamma
    offset = torch.mv(w1, beta) + b1
    size = source.shape[1:].numel()
    for i, (rows, dy, target) in enumerate(zip(source, upstream, dx)):
        mean, variance = moments(rows)
        rstd = torch.rsqrt(variance + eps)
        s = scale[i % len(scale)]
        by_hat, by_hidden = torch.zeros_like(w1), torch.zeros_like(w2)
        by_offset = torch.zeros_like(b1)
        known = hidden[i] if hidden.numel() else rows.new_empty(len(rows), 0)
        for r, g, t, z in pieces(rows, dy, target, known):
            hat = torch.sub(r, mean).mul_(rstd)
            if not z.numel():
                z = torch.addmm(offset, hat, folded.t())
            by_hidden.addmm_(g.t(), F.gelu(z))
            dz = torch.mm(g * s, w2)
            torch.ops.aten.gelu_backward.grad_input(dz, z, grad_input=dz)
            by_offset += dz.sum(0)
            by_hat.addmm_(dz.t(), hat)
            torch.addmm(g, dz, folded, alpha=rstd.item(), out=t)
        by_gamma = torch.linalg.vecdot(w1, by_hat, dim=0)
        by_channel = dy.sum(0)
        # backward of the norm: minus the mean of the gradient and its projection on xhat
        slope = rstd * rstd * torch.dot(gamma, by_gamma) / size
        level = rstd * torch.dot(folded.sum(1), by_offset) / size
        for r, t in pieces(rows, target):
            t.sub_(torch.addcmul(level - mean * slope, r, slope))
        dw1.addcmul_(by_hat, gamma).addr_(by_offset, beta)
        db1 += by_offset
        dgamma += by_gamma
        dbeta += torch.mv(w1.t(), by_offset)
        dw2.addcmul_(by_hidden, s[:, None])
        db2 += by_channel * s
        dscale[i % len(scale)] += torch.linalg.vecdot(w2, by_hidden, dim=1) + b2 * by_channel
    return [map_of(dx, x), dgamma, dbeta, dw1, db1, dw2, db2, dscale]


@norm_mlp_residual.register_fake
def _(x, gamma, beta, w1, b1, w2, b2, scale, eps, keep_hidden):
    batch, _, height, width = x.shape
    hidden = x.new_empty(batch, height * width, len(w1)) if keep_hidden else x.new_empty(0)
    return torch.empty_like(x, memory_format=torch.channels_last), hidden


@mlp_residual.register_fake
def _(x, *args):
    return torch.empty_like(x, memory_format=torch.channels_last)


@norm_mlp_residual_backward.register_fake
def _(grad, hidden, x, *args):
    dx = torch.empty_like(x, memory_format=torch.channels_last)
    return [dx, *(torch.empty_like(tensor) for tensor in args[:-1])]


def _save(ctx, inputs, output) -> None:
    *tensors, ctx.eps, _ = inputs
    hidden = output[1]
    ctx.mark_non_differentiable(hidden)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(hidden, *tensors)


def _backward(ctx, grad: Tensor | None, _) -> tuple:
    if grad is None:  # nothing was asked of the map
        return (None,) * 10
    return (*norm_mlp_residual_backward(grad, *ctx.saved_tensors, ctx.eps), None, None)


norm_mlp_residual.register_autograd(_backward, setup_context=_save)


@register_flop_formula([torch.ops.mmplugin.norm_mlp_residual, torch.ops.mmplugin.mlp_residual])
def _(x, *shapes, **settings) -> int:
    """Of the two matrix products; a counter does not see inside an operation of ours."""
    w1 = next(shape for shape in shapes if len(shape) == 2)
    return 4 * x.numel() * w1[0]
