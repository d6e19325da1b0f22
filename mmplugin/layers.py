"""The small blocks every family shares. Maps are (B, C, H, W) in and out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmplugin.ops.paths import one_wide_dtype_on_cpu
from mmplugin.ops.strided_conv import strided_conv
from mmplugin.ops.windows import pad_to_multiple


class DropPath(nn.Module):
    """Stochastic depth per sample: drops a residual branch and rescales the ones it keeps.

    Args:
        rate: probability of dropping a sample's branch while training, 0 <= rate < 1. Default 0.

    Raises:
        ValueError: for a rate outside [0, 1).
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f'drop path rate must be in [0, 1), got {rate}')
        self.rate = rate

    def multiplier(self, batch: int, like: Tensor) -> Tensor | None:
        """Factor of each sample's branch, (batch, 1, 1, 1): 0 or 1 / keep; None where it is 1."""
        if self.rate == 0 or not self.training:
            return None
        keep = 1 - self.rate
        return like.new_empty(batch, 1, 1, 1).bernoulli_(keep).div_(keep)

    def forward(self, x: Tensor) -> Tensor:
        multiplier = self.multiplier(x.shape[0], like=x)
        return x if multiplier is None else x * multiplier

    def extra_repr(self) -> str:
        return f'rate={self.rate:.4g}'


class LayerScale(nn.Module):
    """A learnable factor per channel.

    Args:
        dim: channels C.
        init_value: start value of every factor.
    """

    def __init__(self, dim: int, init_value: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((dim,), float(init_value)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.view(-1, 1, 1)


class Pointwise(nn.Conv2d):
    """1x1 convolution with bias; a matrix product on channels_last maps on a CPU.

    The same multiply-adds, but for the rounding of their sums; torch's own convolution is slower
    there, most of all in the backward pass.

    Args:
        in_dim, dim: channels in and out.
    """

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__(in_dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C, H, W) in the same memory format."""
        if x.device.type != 'cpu' or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        rows = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return rows.permute(0, 3, 1, 2)


class Mlp(nn.Module):
    """Channel MLP: two 1x1 convolutions with exact GELU between them.

    Weights start truncated normal with std 0.02, biases at zero (official
    ``models/poolformer.py``).

    Args:
        dim: channels in and out.
        hidden_dim: channels between.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = Pointwise(dim, hidden_dim)
        self.act = nn.GELU()
        self.fc2 = Pointwise(hidden_dim, dim)
        for conv in (self.fc1, self.fc2):
            nn.init.trunc_normal_(conv.weight, std=0.02)
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))

    def matrices(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weight (D, C) and bias of fc1, weight (C, D) and bias of fc2."""
        fc1, fc2 = self.fc1, self.fc2
        return fc1.weight.flatten(1), fc1.bias, fc2.weight.flatten(1), fc2.bias


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of each pixel, eps 1e-5.

    Args:
        dim: channels C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape and memory format."""
        channels_last = x.is_contiguous(memory_format=torch.channels_last)
        x = super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # B, H, W, C between
        return x if channels_last else x.contiguous()


class GroupNorm1(nn.GroupNorm):
    """Norm over channels and pixels of each sample, eps 1e-5.

    Args:
        dim: channels C.
        affine: whether an affine pair a channel follows. Default True.
    """

    def __init__(self, dim: int, affine: bool = True) -> None:
        super().__init__(1, dim, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if x.device.type == 'cpu' and torch.is_grad_enabled() and not x.requires_grad:
            # torch 2.13 crashes in the backward of a channels_last input that needs no gradient
            x = x.contiguous()
        return super().forward(x)


class ConvEmbed(nn.Module):
    """A strided convolution that opens a stage; PyTorch's default convolution init.

    Args:
        in_dim: channels in.
        dim: channels out.
        kernel_size, stride, padding: of the convolution, in pixels of its input.
        fast: on CPUs train by matrix products where those are faster. Default False.
    """

    def __init__(
        self,
        in_dim: int,
        dim: int,
        *,
        kernel_size: int,
        stride: int,
        padding: int,
        fast: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_dim, dim, kernel_size, stride, padding)
        self.fast = fast

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C, floor((H + 2 padding - kernel) / stride) + 1, same of W)."""
        conv = self.conv
        trains = self.fast and torch.is_grad_enabled()
        if trains and one_wide_dtype_on_cpu(x, conv.weight):
            return strided_conv(x, conv.weight, conv.bias, conv.stride[0], conv.padding[0])
        return conv(x)


class PatchEmbed(ConvEmbed):
    """Cuts a map into patches, projects each, and layer-norms the result over channels.

    Where the stride does not divide a side, zeros are added to the right or below, so that no
    pixel is lost.

    Args:
        in_dim: channels in.
        dim: channels out.
        stride: side of a patch in pixels of its input.
    """

    def __init__(self, in_dim: int, dim: int, *, stride: int) -> None:
        super().__init__(in_dim, dim, kernel_size=stride, stride=stride, padding=0)
        self.norm = LayerNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C, ceil(H / stride), ceil(W / stride))."""
        return self.norm(self.conv(pad_to_multiple(x, self.conv.stride)))
