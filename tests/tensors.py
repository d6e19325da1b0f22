"""Helpers for comparing networks."""

import torch
from torch import Tensor, nn


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference over the largest magnitude."""
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-300)).item()


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and buffer random values, so that nothing hides behind 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.copy_(noise / fan_in**0.5 + (0.3 if parameter.dim() == 1 else 0))
        for name, buffer in model.named_buffers():
            if buffer.is_floating_point():
                noise = torch.rand(buffer.shape, generator=generator, dtype=buffer.dtype)
                buffer.copy_(noise + 0.5 if 'var' in name else noise - 0.5)
    return model


def image(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    """A random image batch."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def weighted_sum(outputs: tuple[Tensor, ...], seed: int = 2) -> Tensor:
    """A scalar in which every output element has a weight of its own."""
    generator = torch.Generator().manual_seed(seed)
    return sum(
        (o * torch.randn(o.shape, generator=generator, dtype=o.dtype)).sum() for o in outputs
    )
