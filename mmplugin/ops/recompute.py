"""Activation checkpointing that leaves running statistics alone when it computes a second time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """``block(x)``, computed again in the backward pass instead of storing its activations.

    Exact, forward and backward; running statistics of batch norms move once, as without it.
    """
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.training]
    statistics = [buffer for norm in norms for buffer in norm.buffers()]
    if not statistics:
        return checkpoint(block, x, use_reentrant=False)
    return checkpoint(
        block, x, use_reentrant=False, context_fn=lambda: (nullcontext(), restored(statistics))
    )


@contextmanager
def restored(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Give tensors the values back that they had on entering."""
    before = [tensor.clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, before):
                tensor.copy_(value)
