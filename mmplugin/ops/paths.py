"""Which form of an operation runs where."""

from collections.abc import Callable

import torch
from torch import Tensor

FUSED_PIXELS = 8192
"""Smallest map, in pixels of one sample, that the fused forms take. They work through the samples
one by one, which on small maps costs more than it saves (measured with 2 threads: a training step
on 96 x 96 images took twice as long)."""


def fused_on(*tensors: Tensor) -> bool:
    """Whether the fused forms for CPUs take these: a large map, one dtype, float32 or float64, no
    autocast.

    Args:
        tensors: the map (B, C, H, W), then the parameters.

    In half precision the folded factors would be rounded before they are used, and on a GPU loops
    over pieces of a map would starve it: there the plain forms run.
    """
    first = tensors[0]
    return (
        first.shape[-2] * first.shape[-1] >= FUSED_PIXELS
        and first.dtype in (torch.float32, torch.float64)
        and all(t.device.type == 'cpu' and t.dtype == first.dtype for t in tensors)
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
