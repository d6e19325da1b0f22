"""Names of packages and where they lie, for mmengine, without ``pkg_resources``.

mmengine 0.10.7 asks ``pkg_resources``, which setuptools 82 dropped, so every ``mmdet::`` base,
``get_config`` and ``read_base`` fails. Needless with mmengine 0.11.0 or onedl-mmengine 0.10.12.
"""

import os.path as osp
from types import ModuleType

from .import_hooks import replace_everywhere

MENDED = ('is_installed', 'get_installed_path', 'package2module')


def is_installed(package: str) -> bool:
    """Whether ``package``, the name of a distribution or of a module, is there."""
    from importlib.metadata import PackageNotFoundError, distribution
    from importlib.util import find_spec

    try:
        distribution(package)
    except PackageNotFoundError:
        spec = find_spec(package)
        return spec is not None and spec.origin is not None
    return True


def get_installed_path(package: str) -> str:
    """Folder of ``package``, the name of a distribution (``mmsegmentation``) or module (``mmseg``).

    The folder is the one Python imports from, so editable installs and packages that are only
    on ``PYTHONPATH`` are found too.

    Raises:
        importlib.metadata.PackageNotFoundError: nothing of that name.
        RuntimeError: the name is that of a namespace package, which has no one folder.
    """
    from importlib.util import find_spec

    spec = find_spec(package) or find_spec(package2module(package))
    if spec is None or spec.origin is None:
        raise RuntimeError(
            f'{package} has no folder of its own: a namespace package or half removed'
        )
    return osp.dirname(spec.origin)


def package2module(package: str) -> str:
    """Name of the first module that the distribution ``package`` installs.

    Raises:
        importlib.metadata.PackageNotFoundError: no distribution of that name.
        ValueError: the distribution does not say what it installs.
    """
    from importlib.metadata import distribution, packages_distributions

    found = distribution(package)
    stated = (found.read_text('top_level.txt') or '').split()
    if stated:
        return stated[0]
    name = found.metadata['Name']
    for module, owners in packages_distributions().items():
        if name in owners and not module.startswith('_'):
            return module
    raise ValueError(f'cannot infer the module name of {package}')


def mend(module: ModuleType) -> bool:
    """Replace what needs ``pkg_resources`` in ``mmengine.utils.package_utils``, and its bindings.

    Returns:
        Whether there was anything to replace.
    """
    mended = False
    for name in MENDED:
        old = getattr(module, name)
        if 'pkg_resources' in old.__code__.co_names:
            replace_everywhere(old, globals()[name])
            mended = True
    return mended


def know_mmplugin(module: ModuleType) -> bool:
    """Let ``mmplugin::`` name our configs: enter us in ``mmengine.config.utils.MODULE2PACKAGE``."""
    module.MODULE2PACKAGE.setdefault('mmplugin', 'mmplugin')
    return True
