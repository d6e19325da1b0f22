"""One family a file; importing the package registers them all."""

from mmplugin.backbones.container import Container
from mmplugin.backbones.poolformer import PoolFormer

__all__ = ['Container', 'PoolFormer']
