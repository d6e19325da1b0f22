"""What is measured: one mode at one image size, and a network that is run that way."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

MODES = ('inference', 'training')


class Work(NamedTuple):
    """One thing to do, the same for every peer."""

    mode: str
    """One of ``MODES``."""
    shape: tuple[int, int]
    """Height and width of the images in pixels."""
    batch: int = 1
    dtype: torch.dtype = torch.float32
    device: str = 'cpu'
    amp: bool = False
    """Weights and images stay float32, operations run under autocast to ``dtype``."""
    layout: torch.memory_format = torch.contiguous_format
    """Of the images."""

    @property
    def training(self) -> bool:
        return self.mode == 'training'

    @property
    def stored(self) -> torch.dtype:
        """Of weights and images."""
        return torch.float32 if self.amp else self.dtype

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, self.dtype, enabled=self.amp)


class Peer(NamedTuple):
    """A network ready to run."""

    model: nn.Module
    forward: Callable[[], object]
    """The forward pass; its result holds the graph in training."""
    step: Callable[[], object]
    """What is timed: the inference, or forward and backward pass and all that belongs to them."""
    inputs: Sequence[torch.Tensor] = ()
    """What ``forward`` reads, where that is there before it."""
    moved: int | None = None
    """Bytes that pass through memory at least, where they are not counted by ``least_bytes``."""

    @property
    def given(self) -> list[torch.Tensor]:
        """What is there before a forward pass."""
        return [*self.model.parameters(), *self.inputs]
