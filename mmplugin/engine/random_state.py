"""The state of the random number generators, as tensors and plain values."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def capture(cuda: bool = True) -> dict[str, Any]:
    """The state of torch, CUDA (the current device), numpy and Python.

    Args:
        cuda: False leaves the GPU out; its state is None then, as without a GPU.
    """
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, python_gauss = random.getstate()
    on_gpu = cuda and torch.cuda.is_available() and torch.cuda.is_initialized()
    return {
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state() if on_gpu else None,
        'numpy': {
            'kind': str(kind),
            'keys': torch.from_numpy(keys.astype(np.int64)),
            'position': int(position),
            'has_gauss': int(has_gauss),
            'gauss': float(gauss),
        },
        'python': {
            'version': version,
            'internal': torch.tensor(internal, dtype=torch.int64),
            'gauss': python_gauss,
        },
    }


def restore(state: dict[str, Any]) -> None:
    """Put back what ``capture`` gave; tensors may have moved to another device meanwhile."""
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())
    of_numpy, of_python = state['numpy'], state['python']
    keys = of_numpy['keys'].cpu().numpy().astype(np.uint32)
    np.random.set_state(
        (of_numpy['kind'], keys, of_numpy['position'], of_numpy['has_gauss'], of_numpy['gauss'])
    )
    internal = tuple(of_python['internal'].cpu().tolist())
    random.setstate((of_python['version'], internal, of_python['gauss']))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave the generators of the CPU as they were before."""
    state = capture(cuda=False)
    try:
        yield
    finally:
        restore(state)


def seed_cpu(*numbers: int) -> None:
    """Seed torch, numpy and Python on the CPU from non-negative numbers that name one draw."""
    first, second, third = np.random.SeedSequence(numbers).generate_state(3).tolist()
    # torch.manual_seed would seed the GPUs too, in the middle of a training step
    torch.default_generator.manual_seed(first)
    np.random.seed(second)
    random.seed(third)
