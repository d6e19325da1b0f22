"""Ways to take an optimizer's step that mmengine lacks."""

from mmplugin.optim.bf16 import Bf16OptimWrapper

__all__ = ['Bf16OptimWrapper']
