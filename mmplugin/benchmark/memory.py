"""What a forward pass keeps for the backward pass."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def saved_bytes(forward: Callable[[], object], known: Iterable[Tensor]) -> int:
    """Bytes of the activations that autograd holds at the end of a forward pass.

    Every storage counts once and whole. This is what grows with the image; workspace inside single
    operations is not in it. On a GPU ``peak_bytes`` says more.

    Args:
        forward: runs the pass.
        known: what does not count: parameters, the image.
    """
    left_out = {tensor.untyped_storage().data_ptr() for tensor in known}
    saved = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in left_out:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = forward()
    del outputs
    return sum(saved.values())


def peak_bytes(step: Callable[[], object], device: str) -> int | None:
    """Peak of a GPU's memory over the second of two calls; None on a CPU, which keeps no count."""
    if device != 'cuda':
        return None
    step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()
