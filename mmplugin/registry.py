"""Registries of mmplugin: children of mmengine's roots under the scope ``mmplugin``.

``type='mmplugin.PoolFormer'`` resolves under any default scope, without ``custom_imports``:
mmengine imports this file for the scope and the locations below at the first look-up.
"""

from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import Registry

MODELS = Registry(
    'model', parent=MMENGINE_MODELS, scope='mmplugin', locations=['mmplugin.backbones']
)
