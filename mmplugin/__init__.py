"""MetaFormer-type backbones for MMDetection 3.x and MMSegmentation 1.x.

Importing the package is light: it loads neither torch nor a framework. It puts the mends of
``mmplugin.compat`` in place, so that mmengine, mmcv, mmdet and mmseg work on current PyTorch
without a compiler as soon as they are imported.
"""

from mmplugin.compat import activate

__version__ = '0.1.0'

activate()
