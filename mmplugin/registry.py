"""Registries of mmplugin: children of mmengine's roots under the scope ``mmplugin``.

``type='mmplugin.PoolFormer'`` resolves under any default scope, without ``custom_imports``:
mmengine imports this file for the scope and the locations below at the first look-up.
"""

from importlib import import_module

from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import Registry

NEED_MMDET = {'SMCADETR': 'mmplugin.detectors', 'CocoMetric': 'mmplugin.evaluation'}
"""What is registered on top of mmdet, and the module that does it."""


class LateRegistry(Registry):
    """A registry that imports what stands on mmdet at the first look-up of it.

    It needs mmdet, which who only segments may not have.
    """

    def get(self, key: str) -> type | None:
        """The class of a name, as mmengine's registries give it.

        Raises:
            RuntimeError: for a class on top of mmdet where that is not installed.
        """
        name = key.rpartition('.')[-1]
        if name in NEED_MMDET and name not in self.module_dict:
            try:
                import_module(NEED_MMDET[name])
            except ModuleNotFoundError as error:
                if error.name != 'mmdet':
                    raise
                raise RuntimeError(
                    f'mmplugin.{name} needs mmdet, which is not installed: pip install mmdet==3.3.0'
                ) from error
        return super().get(key)


MODELS = LateRegistry(
    'model', parent=MMENGINE_MODELS, scope='mmplugin', locations=['mmplugin.backbones']
)
# without a location mmengine looks for mmplugin.utils, and says that mmplugin is not installed
METRICS = LateRegistry(
    'metric', parent=MMENGINE_METRICS, scope='mmplugin', locations=['mmplugin.registry']
)
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='mmplugin',
    locations=['mmplugin.engine', 'mmplugin.hooks'],
)
RUNNERS = Registry(
    'runner', parent=MMENGINE_RUNNERS, scope='mmplugin', locations=['mmplugin.engine']
)
OPTIM_WRAPPERS = Registry(
    'optimizer wrapper',
    parent=MMENGINE_OPTIM_WRAPPERS,
    scope='mmplugin',
    locations=['mmplugin.optim'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='mmplugin',
    locations=['mmplugin.optim'],
)
