"""One family a file; importing the package registers them all."""

from mmplugin.backbones.poolformer import PoolFormer

__all__ = ['PoolFormer']
