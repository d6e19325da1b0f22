"""Mixed precision in bfloat16, on whatever the training runs on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mmplugin.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Forward passes of training under autocast in bfloat16; parameters stay in their own type.

    bfloat16 has the range of float32, so that the loss needs no scaling. mmengine's
    AmpOptimWrapper scales it all the same, and refuses a CPU. Takes what OptimWrapper takes.

    Raises:
        RuntimeError: in training, on a GPU without bfloat16.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
