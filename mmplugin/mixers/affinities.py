"""Affinities: how much each token takes of each other's value.

The dynamic one is computed from the tokens (self-attention), the static ones are learned: a
depthwise convolution, or a table (``mixers/tables.py``). None is ever built as an N x N matrix of
the whole map.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mmplugin.ops.windows import inside_map, join_windows, split_windows


class SelfAffinity(nn.Module):
    """Multi-head self-attention on given queries, keys and values; no parameters.

    ``softmax(q k^T / sqrt(C / M)) v`` in each of M heads, through
    ``scaled_dot_product_attention``: memory grows with the number of tokens N, work with
    2 N^2 C multiply-accumulates.

    Args:
        num_heads: heads M; head m takes channels m C / M to (m + 1) C / M.
        window_size: side in pixels of the windows inside which tokens see each other; work then
            grows with N. Windows at the border hold fewer tokens; zeros are never attended to.
            Default None: every token sees the whole map.
    """

    def __init__(self, num_heads: int, window_size: int | None = None) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Three maps (B, C, H, W) to one of the same shape."""
        height, width = value.shape[2:]
        if self.window_size is None or max(height, width) <= self.window_size:
            return self.attend(query, key, value, None)
        window = min(self.window_size, height), min(self.window_size, width)
        query, key, value = (split_windows(x, window) for x in (query, key, value))
        mask = None
        if height % window[0] or width % window[1]:
            mask = inside_map((height, width), window, value.device)
            mask = mask.repeat(value.shape[0] // mask.shape[0], 1)[:, None, None]
        return join_windows(self.attend(query, key, value, mask), (height, width))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attention over whole maps (B, C, H, W); ``mask`` (B, 1, 1, N) is False where not."""
        batch, channels, height, width = value.shape
        channels_last = value.stride(1) == 1
        heads = [
            x.permute(0, 2, 3, 1)  # B, H, W, C
            .reshape(batch, -1, self.num_heads, channels // self.num_heads)
            .transpose(1, 2)  # B, M, N, C / M; a view of a channels_last map
            for x in (query, key, value)
        ]
        if not channels_last:  # fused kernels need it, else N x N is built
            heads = [x.contiguous() for x in heads]
        mixed = F.scaled_dot_product_attention(*heads, attn_mask=mask)
        mixed = mixed.transpose(1, 2).reshape(batch, height, width, channels)
        mixed = mixed.permute(0, 3, 1, 2)  # B, C, H, W
        return mixed if channels_last else mixed.contiguous()

    def extra_repr(self) -> str:
        return f'num_heads={self.num_heads}, window_size={self.window_size}'


class DepthwiseAffinity(nn.Conv2d):
    """Depthwise convolution; the channels of a head share one kernel and one bias.

    Args:
        dim: channels C.
        kernel_size: odd side in pixels; zeros past the border.
        num_heads: kernels M. Default None: one a channel, the ordinary depthwise convolution.

    Raises:
        ValueError: for an even kernel, or heads that do not divide the channels.
    """

    def __init__(self, dim: int, kernel_size: int, num_heads: int | None = None) -> None:
        num_heads = dim if num_heads is None else num_heads
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f'kernel_size must be a positive odd number, got {kernel_size}')
        if dim % num_heads:
            raise ValueError(f'{num_heads} heads do not divide {dim} channels')
        super().__init__(
            num_heads, num_heads, kernel_size, padding=kernel_size // 2, groups=num_heads
        )
        self.dim = dim

    @property
    def kernel(self) -> nn.Parameter:
        """The parameter in which the result, but for the bias, is linear."""
        return self.weight

    def forward(self, value: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        share = self.dim // self.out_channels
        if share == 1:
            return super().forward(value)
        weight = self.weight.repeat_interleave(share, dim=0)
        bias = None if self.bias is None else self.bias.repeat_interleave(share)
        return F.conv2d(value, weight, bias, padding=self.padding, groups=self.dim)
