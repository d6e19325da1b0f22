"""Number formats: what the operators compute in."""

import torch
from torch import Tensor


def widen(tensor: Tensor) -> Tensor:
    """Return fp16 and bf16 tensors as fp32, others unchanged.

    Box coordinates of a photograph need more than the 8 or 11 bits of the half formats, and
    torchvision's kernels lack bf16.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def as_float32(number: float) -> float:
    """Round a Python float to the nearest fp32 value (Veltkamp's split, plain arithmetic).

    mmcv's kernels take thresholds as C ``float``: an overlap of exactly 3/10 is not above 0.3 in
    fp32, but it is when the threshold stays a double, as in torchvision.
    """
    scaled = number * (2.0**29 + 1.0)
    return scaled - (scaled - number)


def divide(tensor: Tensor, number: float) -> Tensor:
    """``tensor / number``, rounded alike on every device.

    CUDA multiplies by the rounded reciprocal where the divisor is a number: 21 / 7 comes out above
    3 there, and a window of 21 pixels gets a fourth row of samples in each of its 7 bins.
    """
    return tensor / torch.full_like(tensor, number)
