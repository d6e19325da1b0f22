"""Serve ``mmcv._ext`` where mmcv was installed without its compiled operators.

mmcv-lite ships no ``mmcv/_ext*.so``, yet every file of ``mmcv.ops`` imports that module and asserts
the names it wants. The finder here stands *last* on ``sys.meta_path``: Python asks it only after
its own finders found no such file, so a compiled mmcv always wins and nothing has to be configured.

Only the standard library is imported here; PyTorch comes in when ``mmcv._ext`` itself is imported.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder

EXT_NAME = 'mmcv._ext'
ORIGIN = 'mmplugin.compat.mmcv_ext (torchvision-backed)'


class MmcvExtFinder:
    """Meta-path finder that answers for ``mmcv._ext`` alone."""

    def find_spec(self, fullname, path=None, target=None):
        """Return the spec of the stand-in for ``'mmcv._ext'`` and None for any other name."""
        if fullname != EXT_NAME:
            return None
        return ModuleSpec(fullname, MmcvExtLoader(), origin=ORIGIN)


class MmcvExtLoader:
    """Fill ``mmcv._ext`` with the operators of :mod:`mmplugin.compat.mmcv_ext`."""

    def create_module(self, spec):
        """Leave the creation of the module to Python."""
        return None

    def exec_module(self, module):
        """Put the operators into ``module``; names without a PyTorch form raise when called.

        Raises:
            RuntimeError: torch and torchvision are absent or do not fit each other. Not an
                ImportError, because mmengine's registries swallow those.
        """
        _require_torchvision()
        from mmplugin.compat import mmcv_ext

        for name in mmcv_ext.__all__:
            setattr(module, name, getattr(mmcv_ext, name))
        module.__getattr__ = _without_pytorch_form


def install() -> None:
    """Append the finder to ``sys.meta_path``. Idempotent."""
    if not any(isinstance(finder, MmcvExtFinder) for finder in sys.meta_path):
        sys.meta_path.append(MmcvExtFinder())


def flavour() -> str:
    """Say what serves mmcv's operators, without importing mmcv.

    Returns:
        ``'compiled'`` (mmcv's own binary module), ``'no-compile'`` (the stand-in of this package),
        ``'no-ops'`` (mmcv has no binary module and the finder is not installed) or ``'missing'``
        (no mmcv at all).
    """
    from importlib.util import find_spec

    if EXT_NAME in sys.modules:
        spec = sys.modules[EXT_NAME].__spec__
        return 'no-compile' if spec and isinstance(spec.loader, MmcvExtLoader) else 'compiled'
    if 'mmcv' in sys.modules:
        folders = sys.modules['mmcv'].__path__
    else:
        spec = find_spec('mmcv')
        if spec is None:
            return 'missing'
        folders = spec.submodule_search_locations
    if PathFinder.find_spec(EXT_NAME, folders) is not None:
        return 'compiled'
    installed = any(isinstance(finder, MmcvExtFinder) for finder in sys.meta_path)
    return 'no-compile' if installed else 'no-ops'


def _without_pytorch_form(name: str):
    """Module-level ``__getattr__``: every name exists, and raises when called."""
    if name.startswith('__') and name.endswith('__'):
        raise AttributeError(f'module {EXT_NAME!r} has no attribute {name!r}')

    def unavailable(*args, **kwargs):
        raise NotImplementedError(
            f'mmcv op {name!r} has no PyTorch form in mmplugin; it needs compiled mmcv: replace '
            'mmcv-lite by mmcv built from source with MMCV_WITH_OPS=1 against the installed '
            'PyTorch, or use a config without it'
        )

    unavailable.__name__ = name
    return unavailable


def _require_torchvision() -> None:
    try:
        import torch
        import torchvision  # noqa: F401  (the import registers torch.ops.torchvision)

        usable = hasattr(torch.ops.torchvision, 'nms')
        cause = None
    except (ImportError, OSError, RuntimeError) as error:
        usable, cause = False, error
    if usable:
        return
    torch_version, vision_version = _version('torch'), _version('torchvision')
    reason = f' ({cause})' if cause else ''
    raise RuntimeError(
        f'torch {torch_version or "(not installed)"} and torchvision '
        f'{vision_version or "(not installed)"} do not work together{reason}; mmcv ops without a '
        f'compiler stand on torchvision. Mend: {_mend(torch_version)}'
    ) from cause


def _mend(torch_version: str | None) -> str:
    """The pip command that brings a fitting pair; torch 2.N goes with torchvision 0.(N + 15)."""
    release = (torch_version or '').split('+')[0]
    major, _, rest = release.partition('.')
    minor = rest.partition('.')[0]
    if major == '2' and minor.isdigit():
        pair = f'"torch=={release}" "torchvision==0.{int(minor) + 15}.*"'
    else:
        pair = 'torch torchvision'
    return f'pip install --force-reinstall {pair} (both from the same package index)'


def _version(distribution: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
