"""Which form of an operation runs where."""

from collections.abc import Callable

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


def dispatched(operation: Callable, body: Callable, *args):
    """An operation's result: through torch's registry where gradients or compilers need that.

    Plain inference calls the body itself, which spares some 50 microseconds a call and the import
    of torch's compiler.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return operation(*args)
    return body(*args)
