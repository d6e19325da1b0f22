"""RoIPool: the largest pixel of each bin.

torchvision's operator of that name rounds the windows differently from mmcv's, so the bins are
walked here pixel by pixel.
"""

import torch
from torch import Tensor

from mmplugin.compat.mmcv_ext.precision import divide, widen


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the maximum of every bin and its pixel.

    Args:
        input: (b, c, h, w).
        rois: (k, 5) as image index, x1, y1, x2, y2 in image pixels; k may be 0.
        output: (k, c, pooled_height, pooled_width), written in place; 0 for an empty bin.
        argmax: int32 like ``output``, written in place: y * w + x of the first largest pixel, -1
            for an empty bin.
        spatial_scale: feature map pixels per image pixel.
    """
    channels_last, rois = widen(input).permute(0, 2, 3, 1), widen(rois)
    height, width = input.shape[2:]
    top, bottom = _bins(rois[:, 2], rois[:, 4], spatial_scale, pooled_height, height)
    left, right = _bins(rois[:, 1], rois[:, 3], spatial_scale, pooled_width, width)
    image = rois[:, 0].long()[:, None, None]
    # k, pooled_height, pooled_width, c
    best = channels_last.new_full(
        (rois.size(0), pooled_height, pooled_width, input.size(1)), -torch.inf
    )
    best_pixel = torch.full_like(best, -1, dtype=torch.long)
    for i in range(_longest(top, bottom)):
        y = top + i
        for j in range(_longest(left, right)):
            x = left + j
            exists = (y < bottom)[:, :, None] & (x < right)[:, None, :]
            at_y, at_x = y.clamp(max=height - 1)[:, :, None], x.clamp(max=width - 1)[:, None, :]
            value = channels_last[image, at_y, at_x]
            better = exists[..., None] & (value > best)
            best = torch.where(better, value, best)
            best_pixel = torch.where(better, (at_y * width + at_x)[..., None], best_pixel)
    best = torch.where(best_pixel < 0, torch.zeros_like(best), best)
    output.copy_(best.permute(0, 3, 1, 2))
    argmax.copy_(best_pixel.permute(0, 3, 1, 2))


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write into ``grad_input`` (b, c, h, w) each bin's gradient at its largest pixel."""
    batch, channels, height, width = grad_input.shape
    grad = widen(grad_output)
    total = grad.new_zeros(batch * channels * height * width)
    # k, c, 1, 1
    plane = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    pixel = (plane * (height * width))[:, :, None, None] + argmax.clamp(min=0)
    grad = torch.where(argmax < 0, torch.zeros_like(grad), grad)
    total.index_add_(0, pixel.flatten(), grad.flatten())
    grad_input.copy_(total.view(grad_input.shape))


def _bins(low: Tensor, high: Tensor, scale: float, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """First pixel and end (exclusive) of every bin along one axis, both (k, bins)."""
    start = low * scale
    extent = (high + 1) * scale - start
    bin_size = divide(extent, bins)[:, None]
    steps = torch.arange(bins + 1, device=low.device, dtype=low.dtype)
    edges = steps * bin_size + start[:, None]
    first = edges[:, :-1].floor().clamp(0, size).long()
    end = edges[:, 1:].ceil().clamp(0, size).long()
    # a window of no extent has no pixels at all
    return first, torch.where(extent[:, None] > 0, end, first)


def _longest(first: Tensor, end: Tensor) -> int:
    return int((end - first).max().clamp(min=0)) if first.numel() else 0
