"""Whether mmcv's binary module is there, without ``pkgutil.find_loader``.

Python 3.14 dropped that function, and mmengine 0.10.7 (its main branch too) calls it for every
config with ``paramwise_cfg`` and every SyncBN conversion. Needless with onedl-mmengine 0.10.12.
"""

from types import ModuleType

from .import_hooks import replace_everywhere


def mmcv_full_available() -> bool:
    """Whether ``mmcv._ext`` can be imported: compiled, or served by this package."""
    from importlib.util import find_spec

    return find_spec('mmcv') is not None and find_spec('mmcv._ext') is not None


def mend(module: ModuleType) -> bool:
    """Replace ``mmcv_full_available`` of ``mmengine.utils.dl_utils.misc`` where it is needed.

    Returns:
        Whether it was.
    """
    old = module.mmcv_full_available
    if 'find_loader' not in old.__code__.co_names:
        return False
    replace_everywhere(old, mmcv_full_available)
    return True
