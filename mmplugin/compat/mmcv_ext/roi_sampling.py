"""RoIAlign by explicit sampling: what torchvision's kernels do not offer.

One sample of every bin is handled at a time, so memory stays at a few times the output. Sums go
through ``index_add_`` and matrix products, which PyTorch runs in a fixed order in deterministic
mode.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mmplugin.compat.mmcv_ext.precision import divide

_PIECE = 2**22
"""Elements of the widest array of a product."""


class Axis(NamedTuple):
    """The samples of all windows along one axis, in feature map pixels."""

    start: Tensor  # (k, bins): where each bin begins
    bin_size: Tensor  # (k,)
    samples: Tensor  # (k,): samples per bin, as a float

    def sample(self, number: int) -> Tensor:
        """Coordinate of sample ``number`` of every bin, (k, bins)."""
        return self.start + ((number + 0.5) * self.bin_size / self.samples)[:, None]


def max_forward(
    input: Tensor,
    rois: Tensor,
    spatial_scale: float,
    height: int,
    width: int,
    sampling_ratio: int,
    aligned: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Maximum over the samples of each bin, and the y and x of the first that reaches it.

    All three are (k, c, height, width). A bin without samples gives 0, -1, -1 (mmcv's kernels
    leave their lowest number there).
    """
    rows, columns = _axes(rois, spatial_scale, height, width, sampling_ratio, aligned)
    channels_last = input.permute(0, 2, 3, 1)
    # k, height, width, c
    best = input.new_full((rois.size(0), height, width, input.size(1)), -torch.inf)
    best_y, best_x = torch.full_like(best, -1.0), torch.full_like(best, -1.0)
    for i, j in _sample_numbers(rows, columns):
        y, x = rows.sample(i), columns.sample(j)
        value = torch.zeros_like(best)
        for batch, at_y, at_x, share in _corners(rois, y, x, input.shape[2:]):
            value = value + share[..., None] * channels_last[batch, at_y, at_x]
        exists = ((i < rows.samples) & (j < columns.samples))[:, None, None, None]
        better = exists & (value > best)
        best = torch.where(better, value, best)
        best_y = torch.where(better, y[:, :, None, None], best_y)
        best_x = torch.where(better, x[:, None, :, None], best_x)
    best = torch.where(best == -torch.inf, torch.zeros_like(best), best)
    return tuple(t.permute(0, 3, 1, 2) for t in (best, best_y, best_x))


def max_backward(
    grad: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, shape: torch.Size
) -> Tensor:
    """Spread each output's gradient over the four pixels around its winning sample."""
    batch, channels, height, width = shape
    total = grad.new_zeros(batch * channels * height * width)
    # k, c, 1, 1
    plane = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    first = (plane * (height * width))[:, :, None, None]
    has_winner = argmax_y != -1
    for at_y, share_y in _neighbours(argmax_y, height):
        for at_x, share_x in _neighbours(argmax_x, width):
            pixel = first + at_y * width + at_x
            share = torch.where(has_winner, share_y * share_x, torch.zeros_like(grad))
            total.index_add_(0, pixel.flatten(), (grad * share).flatten())
    return total.view(shape)


def avg_backward_by_products(
    grad: Tensor,
    rois: Tensor,
    spatial_scale: float,
    height: int,
    width: int,
    sampling_ratio: int,
    aligned: bool,
    shape: torch.Size,
) -> Tensor:
    """Gradient (b, c, h, w) of the average, as matrix products.

    A bin's samples form a grid and bilinear shares are products of one number a row and one a
    column, so a window's gradient is ``down' grad across``, and the sum over the windows of an
    image is itself a product. The work grows with the area of the map, not with the samples.
    """
    rows, columns = _axes(rois, spatial_scale, height, width, sampling_ratio, aligned)
    batch, channels, map_height, map_width = shape
    down, across = _mean_shares(rows, map_height), _mean_shares(columns, map_width)
    # k, height * c, width
    grad = grad.permute(0, 2, 1, 3).reshape(-1, height * channels, width)
    total = grad.new_zeros(batch, map_height, channels * map_width)
    step = max(1, _PIECE // (height * channels * map_width))
    for image, target in enumerate(total):
        (mine,) = torch.where(rois[:, 0].long() == image)
        for some in mine.split(step):
            wide = torch.bmm(grad[some], across[some]).view(-1, channels * map_width)
            target.addmm_(down[some].flatten(0, 1).t(), wide)
    return total.view(batch, map_height, channels, map_width).permute(0, 2, 1, 3)


def _mean_shares(axis: Axis, size: int) -> Tensor:
    """Share of every pixel of a side in every bin's mean, (k, bins, size)."""
    pixels = torch.arange(size, device=axis.start.device, dtype=axis.start.dtype)
    total = axis.start.new_zeros(*axis.start.shape, size)
    most = int(axis.samples.max()) if axis.samples.numel() else 0
    for number in range(most):
        at = axis.sample(number)
        counts = _inside(at, size) & (number < axis.samples)[:, None]
        share = 1 - (at.clamp(0, size - 1)[..., None] - pixels).abs()
        total += share.clamp(min=0) * counts[..., None]
    return total / axis.samples.clamp(min=1)[:, None, None]


def _axes(rois, spatial_scale, height, width, sampling_ratio, aligned) -> tuple[Axis, Axis]:
    corners = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    x1, y1, x2, y2 = corners.unbind(1)
    axes = []
    for start, end, bins in ((y1, y2, height), (x1, x2, width)):
        extent = end - start
        if not aligned:
            extent = extent.clamp(min=1.0)
        bin_size = divide(extent, bins)
        fixed = torch.full_like(bin_size, sampling_ratio)
        samples = fixed if sampling_ratio > 0 else bin_size.ceil().clamp(min=0)
        steps = torch.arange(bins, device=rois.device, dtype=rois.dtype)
        axes.append(Axis(start[:, None] + steps * bin_size[:, None], bin_size, samples))
    return axes[0], axes[1]


def _sample_numbers(rows: Axis, columns: Axis) -> list[tuple[int, int]]:
    """Every (row, column) sample number that some window has, row by row."""
    if rows.samples.numel() == 0:
        return []
    most = torch.stack((rows.samples.max(), columns.samples.max())).tolist()
    return [(i, j) for i in range(int(most[0])) for j in range(int(most[1]))]


def _corners(rois, y, x, size):
    """Yield image, row and column indices and share, (k, height, width), of the four pixels."""
    image = rois[:, 0].long()[:, None, None]
    for at_y, share_y in _neighbours(y, size[0]):
        for at_x, share_x in _neighbours(x, size[1]):
            share = share_y[:, :, None] * share_x[:, None, :]
            yield image, at_y[:, :, None], at_x[:, None, :], share


def _inside(coordinate: Tensor, size: int) -> Tensor:
    """Whether a sample counts: up to one pixel outside the map it does."""
    return (coordinate >= -1) & (coordinate <= size)


def _neighbours(coordinate: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """The pixels below and above a coordinate with their shares.

    Up to one pixel outside the map the border pixel counts in full, further out nothing does.
    """
    inside = _inside(coordinate, size)
    clamped = torch.where(inside, coordinate, 0.0).clamp(0, size - 1)
    low = clamped.floor()
    upper_share = clamped - low
    lower_share = 1 - upper_share
    low = low.long()
    none = torch.zeros_like(upper_share)
    return (
        (low, torch.where(inside, lower_share, none)),
        ((low + 1).clamp(max=size - 1), torch.where(inside, upper_share, none)),
    )
