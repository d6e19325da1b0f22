"""Memory layouts at the border of a network that is channels_last inside."""

import torch
from torch import Tensor


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
