"""Cutting a map into equal windows and putting it together again."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Zeros to the right and below until both sides are multiples of ``size``.

    Args:
        x: (B, C, H, W).
        size: (rows, columns) in pixels.
    """
    right, below = -x.shape[3] % size[1], -x.shape[2] % size[0]
    return F.pad(x, (0, right, 0, below)) if right or below else x


def split_windows(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) to (B * windows, C, h, w), zeros past the border.

    Args:
        x: the map.
        size: (h, w) of a window in pixels.
    """
    x = pad_to_multiple(x, size)
    (b, c, height, width), (h, w) = x.shape, size
    x = x.view(b, c, height // h, h, width // w, w)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(-1, c, h, w)


def join_windows(windows: Tensor, size: tuple[int, int]) -> Tensor:
    """(B * windows, C, h, w) back to (B, C, H, W), what lies past the border cut off.

    Args:
        windows: as ``split_windows`` made them.
        size: (H, W) of the map in pixels.
    """
    c, h, w = windows.shape[1:]
    rows, columns = -(-size[0] // h), -(-size[1] // w)
    x = windows.view(-1, rows, columns, c, h, w).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(-1, c, rows * h, columns * w)[:, :, : size[0], : size[1]]


def inside_map(size: tuple[int, int], window: tuple[int, int], device: torch.device) -> Tensor:
    """Which pixels of each window belong to the map: (windows, h * w), True inside.

    Args:
        size: (H, W) of the map in pixels.
        window: (h, w) of a window in pixels.
        device: of the result.
    """
    inside = torch.ones(1, 1, *size, device=device)
    return split_windows(inside, window).flatten(1) > 0
