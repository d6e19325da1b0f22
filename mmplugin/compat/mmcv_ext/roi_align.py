"""RoIAlign: torchvision's kernels for the average, explicit sampling for the rest."""

import torch
from torch import Tensor

from mmplugin.compat.mmcv_ext.precision import widen
from mmplugin.compat.mmcv_ext.roi_sampling import (
    avg_backward_by_products,
    max_backward,
    max_forward,
)

_MAX, _AVG = 0, 1

_PIXELS_PER_SAMPLE = 1000
"""That take a product as long as the kernel takes for one sample (AVX2)."""


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the pooled windows into ``output``.

    Args:
        input: (b, c, h, w).
        rois: (k, 5) as image index, x1, y1, x2, y2 in image pixels; k may be 0.
        output: (k, c, aligned_height, aligned_width), written in place.
        argmax_y, argmax_x: like ``output`` when ``pool_mode`` is 0, written in place with the
            winning sample's coordinates on the feature map (-1 for none); empty otherwise.
        spatial_scale: feature map pixels per image pixel.
        sampling_ratio: samples per bin and axis; 0 or less takes ceil(window / bins).
        pool_mode: 0 maximum, 1 average.
        aligned: shift by half a pixel; without it a window is at least one pixel.

    Raises:
        ValueError: ``pool_mode`` is neither.

    Windows of negative size are allowed; mmcv's CPU kernel raises on them when ``aligned``.
    """
    _check_mode(pool_mode)
    window = (spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned)
    if pool_mode == _AVG:
        output.copy_(torch.ops.torchvision.roi_align(widen(input), widen(rois), *window))
        return
    best, best_y, best_x = max_forward(widen(input), widen(rois), *window)
    output.copy_(best)
    argmax_y.copy_(best_y)
    argmax_x.copy_(best_x)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of the feature map into ``grad_input`` (b, c, h, w).

    ``grad_output`` is (k, c, aligned_height, aligned_width); the others as in the forward. The
    average's gradient comes from matrix products, equal to the kernel's up to rounding, on small
    maps on a CPU, where they are faster, and on an accelerator with
    ``torch.use_deterministic_algorithms(True)``, where torchvision's kernel refuses to run.
    """
    _check_mode(pool_mode)
    grad, rois = widen(grad_output), widen(rois)
    if pool_mode == _MAX:
        grad_input.copy_(
            max_backward(grad, rois, widen(argmax_y), widen(argmax_x), grad_input.shape)
        )
        return
    window = (spatial_scale, aligned_height, aligned_width)
    if _by_products(grad, grad_input, sampling_ratio):
        rest = (sampling_ratio, aligned, grad_input.shape)
        grad_input.copy_(avg_backward_by_products(grad, rois, *window, *rest))
        return
    rest = (*grad_input.shape, sampling_ratio, aligned)
    grad_input.copy_(torch.ops.torchvision._roi_align_backward(grad, rois, *window, *rest))


def _by_products(grad: Tensor, grad_input: Tensor, sampling_ratio: int) -> bool:
    """Whether the average's gradient is taken as matrix products.

    On a CPU, where they cost less than torchvision's kernel, whose work does not depend on the
    map; windows with a number of samples of their own are taken for one sample a bin. A compiler
    gets the kernel, since the products loop over what the windows hold.
    """
    if grad.device.type != 'cpu':
        return torch.are_deterministic_algorithms_enabled()
    if torch.compiler.is_compiling():
        return False
    bins, (height, width) = grad.shape[2], grad_input.shape[2:]
    return width * (bins + height) <= _PIXELS_PER_SAMPLE * bins * max(sampling_ratio, 1) ** 2


def _check_mode(pool_mode: int) -> None:
    if pool_mode not in (_MAX, _AVG):
        raise ValueError(f'roi_align pool_mode must be 0 (max) or 1 (avg), got {pool_mode}')
