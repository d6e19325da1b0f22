"""Memory layouts at the border of a network that is channels_last inside."""

import torch
from torch import Tensor

from mmplugin.ops.paths import path_of


def channels_last_inside(fast: bool | str, x: Tensor) -> bool:
    """Whether maps of an image x are best kept in channels_last.

    On CPUs pooling is about 10 times slower on contiguous maps, convolutions slower too; the Triton
    operations on the channel half give channels_last maps and take them without a copy.
    """
    return bool(fast) and (x.device.type == 'cpu' or path_of(fast, x) == 'triton')


class Contiguous(torch.autograd.Function):
    """``x.contiguous()`` whose gradient goes back in channels_last, the layout of what it meets."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.contiguous()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad.contiguous(memory_format=torch.channels_last)


def contiguous(x: Tensor) -> Tensor:
    """A channels_last map (B, C, H, W) in NCHW."""
    return Contiguous.apply(x)
