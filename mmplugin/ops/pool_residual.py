"""Normalised average pooling, its subtraction, scale and residual as one interpolation.

With ``count_include_pad=False`` average pooling is an affine average at every pixel, border
included, so it commutes with the affine map of a one-group GroupNorm:
``pool(norm(x)) - norm(x) = gamma * rstd * (pool(x) - x)``. The norm's bias and mean cancel, and
the whole token half of a PoolFormer block becomes ``lerp(x, pool(x), gain * rstd)``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def average_pool(x: Tensor, pool_size: int) -> Tensor:
    """Same-size average pooling that counts only pixels inside the map.

    Args:
        x: (B, C, H, W).
        pool_size: odd window size in pixels.
    """
    return F.avg_pool2d(x, pool_size, stride=1, padding=pool_size // 2, count_include_pad=False)


def norm_pool_residual(x: Tensor, gain: Tensor, pool_size: int, eps: float) -> Tensor:
    """``x + gain * (pool(n) - n)`` where n is x with zero mean and unit variance per sample.

    Exact, forward and backward; the plain form it replaces is
    ``mmplugin.metaformer.MetaFormerBlock.mix_tokens`` with a ``Pooling`` mixer.

    Args:
        x: (B, C, H, W) in any floating dtype.
        gain: broadcastable to (B, C, 1, 1): norm weight, layer scale and drop-path multiplier.
        pool_size: odd window size in pixels.
        eps: added to the variance over (C, H, W), as in ``torch.nn.GroupNorm``.

    Returns:
        (B, C, H, W) in the dtype to which x and gain promote, as the plain form gives it: float32
        under autocast, half precision only where gain is half precision too. Half-precision
        inputs are computed in float32, since rounding ``pool(x)`` before the subtraction loses
        the small difference.
    """
    dtype = torch.promote_types(x.dtype, gain.dtype)
    if dtype in (torch.float16, torch.bfloat16):
        return norm_pool_residual(x.float(), gain.float(), pool_size, eps).to(dtype)
    x, gain = x.to(dtype), gain.to(dtype)
    variance = x.var(dim=(1, 2, 3), correction=0, keepdim=True)
    return torch.lerp(x, average_pool(x, pool_size), gain * torch.rsqrt(variance + eps))
