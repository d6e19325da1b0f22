"""Which form of an operation runs where."""

from collections.abc import Callable

import torch
from torch import Tensor

FUSED_PIXELS = 1024
"""Smallest map, in pixels of one sample, that the fused forms take: they work through the samples
one by one, which costs more than it saves on small maps."""

FUSED_ELEMENTS = 2**18
"""Smallest map, in elements of the batch, that they take: under it all fits into the caches."""

FUSED_TRAINING_ELEMENTS = 2**19
"""The same in training, where the backward pass computes again what it would otherwise load."""


def fused_on(*tensors: Tensor) -> bool:
    """Whether the fused forms for CPUs take these: a large map, one dtype, float32 or float64, no
    autocast.

    Args:
        tensors: the map (B, C, H, W), then the parameters.

    In half precision the folded factors would be rounded before they are used, and on a GPU loops
    over pieces of a map would starve it: there the plain forms run.
    """
    first = tensors[0]
    elements = FUSED_TRAINING_ELEMENTS if torch.is_grad_enabled() else FUSED_ELEMENTS
    large = first.shape[-2] * first.shape[-1] >= FUSED_PIXELS and first.numel() >= elements
    return large and one_wide_dtype_on_cpu(*tensors)


def one_wide_dtype_on_cpu(*tensors: Tensor) -> bool:
    """Whether all are on the CPU, in float32 or all in float64, without autocast."""
    dtype = tensors[0].dtype
    return (
        dtype in (torch.float32, torch.float64)
        and all(t.device.type == 'cpu' and t.dtype == dtype for t in tensors)
        and not torch.is_autocast_enabled('cpu')
    )


def path_of(fast: bool | str, *tensors: Tensor) -> str:
    """The form that takes these: ``'plain'``, ``'unfused'``, ``'fused'`` or ``'triton'``.

    Args:
        fast: the switch of the backbone: True, False or ``'triton'``.
        tensors: as of :func:`fused_on`.
    """
    if not fast:
        return 'plain'
    if fast == 'triton' and all(t.device.type == 'cuda' for t in tensors):
        return 'triton'
    return 'fused' if fused_on(*tensors) else 'unfused'


def dispatched(operation: Callable, body: Callable, *args):
    """An operation's result: through torch's registry where gradients or compilers need that.

    Plain inference calls the body itself, which spares some 50 microseconds a call and the import
    of torch's compiler.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return operation(*args)
    return body(*args)
