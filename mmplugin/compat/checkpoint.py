"""mmengine's loaders of checkpoints, restricted to weights.

mmengine 0.10.7 calls ``torch.load`` without saying what it may unpickle, so that torch 2.6 refuses
mmengine's own checkpoints, and downloads through ``torch.hub``, which runs whatever a file says.
No release makes this needless: mmengine's main branch and onedl-mmengine 0.10.12 read, or fall
back to reading, without restriction.
"""

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


class _RestrictedTorch(ModuleType):
    """The module ``torch`` as mmengine's checkpoint module sees it: all of it, but ``load``."""

    load = staticmethod(_torch_load)

    def __init__(self, torch: ModuleType) -> None:
        super().__init__(torch.__name__)
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)


def mend_torch_load(module: ModuleType) -> bool:
    """Restrict every ``torch.load`` of ``mmengine.runner.checkpoint``.

    All its loaders (local, pavi, ceph, openmmlab) share the one name ``torch`` of their module.
    """
    module.torch = _RestrictedTorch(module.torch)
    if hasattr(module, '_safe_torch_load'):  # onedl's, which falls back
        module._safe_torch_load = _torch_load
    return True


def mend_load_url(module: ModuleType) -> bool:
    """Restrict ``load_url`` of ``mmengine.utils.dl_utils.hub``: http(s), torchvision, mmcls."""
    # It is torch.hub's own function, which stays as it is for everybody else.
    replace_everywhere(module.load_url, safe_load.load_url, packages=('mmengine',))
    return True
