"""What a forward pass keeps for the backward pass."""

import torch
from torch import Tensor, nn


def saved_bytes(model: nn.Module, image: Tensor) -> int:
    """Bytes of the activations that autograd holds at the end of a forward pass.

    Every storage counts once and whole, parameters and the image not at all. This is what grows
    with the image; workspace inside single operations is not in it. On a GPU
    ``torch.cuda.max_memory_allocated`` says more.
    """
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), image)}
    saved = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = model(image)
    del outputs
    return sum(saved.values())


def peak_bytes(step, device: str) -> int | None:
    """Peak of a GPU's memory over one call; None on a CPU, which keeps no such count."""
    if device != 'cuda':
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()
