"""mmengine's loaders of checkpoints, restricted to weights.

mmengine 0.10.7 calls ``torch.load`` without saying what it may unpickle, so that torch 2.6 refuses
mmengine's own checkpoints, and downloads through ``torch.hub``, which runs whatever a file says.
Resuming runs a text of the checkpoint as Python, and so does an inferencer without a config.
No release makes this needless: mmengine's main branch and onedl-mmengine 0.10.12 read, or fall
back to reading, without restriction.
"""

import functools
import logging
from types import ModuleType
from typing import Any

from . import safe_load
from .import_hooks import replace_everywhere


def _torch_load(f, map_location=None, weights_only: bool | None = True) -> Any:
    """``torch.load`` for mmengine; ``weights_only`` is there because forks pass it."""
    if weights_only is False:
        raise safe_load.UnsafeCheckpointError(
            'mmengine asked to read a checkpoint without restriction, which is never done'
        )
    return safe_load.load(f, map_location)


class _Seen(ModuleType):
    """A module as another one sees it: all of it, but what is replaced."""

    def __init__(self, module: ModuleType, **replaced: Any) -> None:
        super().__init__(module.__name__)
        vars(self).update(replaced, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def mend_torch_load(module: ModuleType) -> bool:
    """Restrict every ``torch.load`` of ``mmengine.runner.checkpoint``.

    All its loaders (local, pavi, ceph, openmmlab) share the one name ``torch`` of their module.
    """
    module.torch = _Seen(module.torch, load=_torch_load)
    if hasattr(module, '_safe_torch_load'):  # onedl's, which falls back
        module._safe_torch_load = _torch_load
    return True


def mend_load_url(module: ModuleType) -> bool:
    """Restrict ``load_url`` of ``mmengine.utils.dl_utils.hub``: http(s), torchvision, mmcls."""
    # It is torch.hub's own function, which stays as it is for everybody else.
    replace_everywhere(module.load_url, safe_load.load_url, packages=('mmengine',))
    return True


class _UnreadConfig:
    """Stands for ``mmengine.Config`` where a runner would run the text of a checkpoint's config."""

    @staticmethod
    def fromstring(text: str, file_format: str) -> dict:
        from mmengine.logging import print_log

        print_log(
            'the checkpoint holds the text of a config (meta.config), which is not run',
            logger='current',
            level=logging.WARNING,
        )
        return {}


def mend_resume(module: ModuleType) -> bool:
    """Let a runner resume without running ``meta.config``, which is Python, of the checkpoint.

    mmengine writes no such entry; it reads one to look for ``gpu_ids``.
    """
    module.mmengine = _Seen(module.mmengine, Config=_UnreadConfig)
    return True


def mend_inferencer(module: ModuleType) -> bool:
    """Keep inferencers from running the text of a config in a checkpoint.

    Reading that text as mere data would not be enough: mmengine calls any function that a config
    names as ``type``.
    """
    stock = module.BaseInferencer._init_model

    @functools.wraps(stock)
    def init_model(self, cfg, weights, device='cpu'):
        if not cfg:
            raise safe_load.UnsafeCheckpointError(
                f'{weights}: the config in a checkpoint is Python, which is not run; give the '
                'config file as well, as in DetInferencer(CONFIG, CHECKPOINT)'
            )
        return stock(self, cfg, weights, device)

    module.BaseInferencer._init_model = init_model
    return True
