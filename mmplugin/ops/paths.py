"""Which form of an operation runs where."""

import torch
from torch import Tensor


def fused_on(*tensors: Tensor) -> bool:
    """Whether the fused forms for CPUs take these: one dtype, float32 or float64, no autocast.

    In half precision the folded factors would be rounded before they are used, and on a GPU loops
    over pieces of a map would starve it: there the plain forms run.
    """
    first = tensors[0]
    return (
        first.dtype in (torch.float32, torch.float64)
        and all(t.device.type == 'cpu' and t.dtype == first.dtype for t in tensors)
        and not torch.is_autocast_enabled('cpu')
    )
