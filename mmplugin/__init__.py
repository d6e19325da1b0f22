"""MetaFormer-type backbones for MMDetection 3.x and MMSegmentation 1.x.

Importing the package is light: it loads neither torch nor a framework. It puts the mends of
``mmplugin.compat`` in place, so that mmengine, mmcv, mmdet and mmseg work on current PyTorch
without a compiler as soon as they are imported, and has names of published weights
(``mmplugin://...``) understood as soon as mmengine's loaders are.
"""

from mmplugin.compat import activate
from mmplugin.compat.import_hooks import after_import

__version__ = '0.1.0'


def _know_names(_module) -> None:
    from mmplugin.weights import scheme  # noqa: F401  (registers them)


activate()
after_import('mmengine.runner.checkpoint', _know_names)
