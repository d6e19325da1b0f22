"""Rewrites of neighbouring layers into fewer ones with the same result in eval mode.

All work in place, in float64 on the CPU, so that only the final rounding to the layer's own
precision is left. Each is exact on every pixel of a map, the border included.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def exact(tensor: Tensor) -> Tensor:
    """A float64 copy on the CPU, without gradient."""
    return tensor.detach().to('cpu', torch.float64, copy=True)


def is_foldable(norm: nn.Module) -> bool:
    """Whether a norm is one fixed affine map a channel in eval mode."""
    return isinstance(norm, _BatchNorm) and norm.running_var is not None


@torch.no_grad()
def fold_norm(norm: _BatchNorm, conv: nn.Conv2d) -> None:
    """Change ``conv`` so that ``conv(x)`` is what ``conv(norm(x))`` was.

    Args:
        norm: batch norm with running statistics.
        conv: ungrouped, with a bias and without padding: zeros past the border, put in after the
            norm, would not carry its shift.

    Raises:
        ValueError: for a convolution that pads or has groups.
    """
    if conv.groups != 1 or any(conv.padding):
        raise ValueError(
            f'a norm folds only into an ungrouped, unpadded convolution, got {conv}: its shift is '
            'not in the zeros past the border'
        )
    scale = (exact(norm.running_var) + norm.eps).rsqrt()
    shift = -exact(norm.running_mean) * scale
    if norm.affine:
        scale, shift = scale * exact(norm.weight), shift * exact(norm.weight) + exact(norm.bias)
    fold_affine(scale, shift, conv)


@torch.no_grad()
def fold_affine(scale: Tensor, shift: Tensor, conv: nn.Conv2d) -> None:
    """Change ``conv`` so that ``conv(x)`` is what ``conv(scale * x + shift)`` was.

    Args:
        scale, shift: one number an input channel of ``conv``.
        conv: ungrouped, with a bias and without padding.
    """
    weight = exact(conv.weight)
    conv.bias.copy_(exact(conv.bias) + weight.sum((2, 3)) @ exact(shift))
    conv.weight.copy_(weight * exact(scale)[:, None, None])


@torch.no_grad()
def fold_scale(conv: nn.Conv2d, scale: Tensor) -> None:
    """Change ``conv`` so that ``conv(x)`` is what ``scale * conv(x)`` was, a number a channel."""
    conv.bias.copy_(exact(conv.bias) * exact(scale))
    conv.weight.copy_(exact(conv.weight) * exact(scale)[:, None, None, None])


@torch.no_grad()
def with_identity(conv: nn.Conv2d) -> nn.Conv2d:
    """A depthwise convolution that gives ``x + conv(x)``: one more at the centre of each kernel.

    Args:
        conv: depthwise, with a bias, an odd kernel and as large a map out as in; the centre of
            the kernel never reads past the border.
    """
    if conv.groups != conv.in_channels or conv.in_channels != conv.out_channels:
        raise ValueError(f'the identity is added to a depthwise convolution, got {conv}')
    rows, columns = conv.kernel_size
    weight = exact(conv.weight)
    weight[:, :, rows // 2, columns // 2] += 1
    merged = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        padding=conv.padding,
        groups=conv.groups,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    merged.weight.copy_(weight)
    merged.bias.copy_(conv.bias)
    return merged.train(conv.training)


@torch.no_grad()
def move_shift(shift: Tensor, conv: nn.Conv2d) -> None:
    """Change ``conv`` so that ``conv(x)`` is what ``conv(x + shift)`` was.

    Args:
        shift: one number an input channel of ``conv``.
        conv: ungrouped, with a bias and without padding.
    """
    conv.bias.copy_(exact(conv.bias) + exact(conv.weight).sum((2, 3)) @ exact(shift))
