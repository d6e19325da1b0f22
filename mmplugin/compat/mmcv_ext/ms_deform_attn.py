"""Multi-scale deformable attention, one pyramid level at a time."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmplugin.compat.mmcv_ext.precision import widen


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Sum sampled values over levels and points.

    Args:
        value: (b, keys, heads, d), the levels behind one another along ``keys``.
        value_spatial_shapes: int64 (levels, 2), height and width.
        value_level_start_index: int64 (levels,), first key of each level.
        sampling_locations: (b, queries, heads, levels, points, 2) as x, y in 0..1 over the level;
            pixel = location * size - 0.5, zero outside.
        attention_weights: (b, queries, heads, levels, points).
        im2col_step: images per kernel call in mmcv; here only its rule is kept.

    Returns:
        (b, queries, heads * d).

    Raises:
        ValueError: the batch is not divisible by min(batch, im2col_step).

    Sampled values of one level exist at a time; the backward recomputes them. With
    ``torch.use_deterministic_algorithms(True)`` its CUDA backward is refused by PyTorch, whose
    ``grid_sample`` has no deterministic one.
    """
    _check_step(value.size(0), im2col_step)
    total = None
    for level, (keys, size) in enumerate(_levels(value_spatial_shapes, value_level_start_index)):
        part = _attend(
            widen(value[:, keys]),
            widen(sampling_locations[:, :, :, level]),
            widen(attention_weights[:, :, :, level]),
            size,
        )
        total = part if total is None else total + part
    return total.to(value.dtype).contiguous()


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the three gradients in place; shapes and errors as in the forward.

    Args:
        grad_output: (b, queries, heads * d).
        grad_value, grad_sampling_loc, grad_attn_weight: like the tensor each belongs to.
    """
    _check_step(value.size(0), im2col_step)
    grad_output = widen(grad_output)
    for level, (keys, size) in enumerate(_levels(value_spatial_shapes, value_level_start_index)):
        inputs = [
            widen(part).detach().requires_grad_()
            for part in (
                value[:, keys],
                sampling_locations[:, :, :, level],
                attention_weights[:, :, :, level],
            )
        ]
        with torch.enable_grad():
            part = _attend(*inputs, size)
        by_value, by_location, by_weight = torch.autograd.grad(part, inputs, grad_output)
        grad_value[:, keys] = by_value.to(grad_value.dtype)
        grad_sampling_loc[:, :, :, level] = by_location.to(grad_sampling_loc.dtype)
        grad_attn_weight[:, :, :, level] = by_weight.to(grad_attn_weight.dtype)


def _attend(value: Tensor, location: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
    batch, _, heads, dim = value.shape
    queries = location.size(1)
    # b, h*w, heads, d -> b*heads, d, h, w
    feature = value.permute(0, 2, 3, 1).reshape(batch * heads, dim, *size)
    # b, queries, heads, points, 2 -> b*heads, queries, points, 2
    grid = (2 * location - 1).transpose(1, 2).flatten(0, 1)
    # b*heads, d, queries, points
    sampled = F.grid_sample(
        feature, grid, mode='bilinear', padding_mode='zeros', align_corners=False
    )
    # b, queries, heads, points -> b*heads, 1, queries, points
    weight = weight.transpose(1, 2).flatten(0, 1).unsqueeze(1)
    # b*heads, d, queries -> b, queries, heads*d
    return (sampled * weight).sum(-1).reshape(batch, heads * dim, queries).transpose(1, 2)


def _levels(shapes: Tensor, starts: Tensor) -> list[tuple[slice, tuple[int, int]]]:
    """Key range and size of each level, with one wait for the device in all."""
    table = torch.cat((shapes, starts[:, None]), dim=1).tolist()
    return [(slice(start, start + h * w), (h, w)) for h, w, start in table]


def _check_step(batch: int, im2col_step: int) -> None:
    step = min(batch, im2col_step)
    if batch and batch % step:
        raise ValueError(
            f'ms_deform_attn: the batch ({batch}) must be divisible by im2col_step ({step}); '
            'set im2col_step of MultiScaleDeformableAttention to a divisor'
        )
