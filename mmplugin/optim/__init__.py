"""Ways to build an optimizer and to take its step that mmengine lacks."""

from mmplugin.optim.bf16 import Bf16OptimWrapper
from mmplugin.optim.grouped import GroupedOptimWrapperConstructor

__all__ = ['Bf16OptimWrapper', 'GroupedOptimWrapperConstructor']
