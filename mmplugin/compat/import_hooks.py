"""Run a function right after a module is first executed, or at once if it is loaded already.

Standard library only, and light: nothing is imported that is not asked for.
"""

import sys
from collections.abc import Callable
from types import ModuleType

Hook = Callable[[ModuleType], None]

_waiting: dict[str, list[Hook]] = {}


class _HookingLoader:
    """Stands in for a module's loader until the module has been executed."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):  # get_source, is_package, get_resource_reader, ...
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        # From here on the module looks as if nobody had watched it.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        for hook in _waiting.get(module.__name__, ()):
            hook(module)
        # only now: after a hook that raised, the next import must not go without it
        _waiting.pop(module.__name__, None)


class _Watcher:
    """Meta-path finder for the modules somebody waits for; the others find the module itself."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name not in _waiting:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, 'find_spec', None)
            if finder is cls or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, 'exec_module'):
                    spec.loader = _HookingLoader(spec.loader)
                return spec
        return None


def after_import(name: str, hook: Hook) -> None:
    """Call ``hook(module)`` once, when the module of that name has been executed.

    Args:
        name: full name of the module, such as ``'mmengine.utils.package_utils'``.
        hook: called with the module, before any importer of it sees it; at once where the
            module is loaded already. What it raises, the import raises.
    """
    module = sys.modules.get(name)
    if module is not None:
        hook(module)
        return
    _waiting.setdefault(name, []).append(hook)
    if _Watcher not in sys.meta_path:
        sys.meta_path.insert(0, _Watcher)


def replace_everywhere(old, new, packages: tuple[str, ...] = ()) -> None:
    """Bind ``new`` wherever a loaded module has bound ``old`` at its top level.

    Args:
        old: the object looked for, by identity.
        new: what takes its place under the same names.
        packages: restricts the search to these packages and what they contain. Default: all.
    """
    for module_name, module in list(sys.modules.items()):
        if packages and module_name.partition('.')[0] not in packages:
            continue
        namespace = getattr(module, '__dict__', None)
        if not isinstance(namespace, dict):
            continue
        for name in [key for key, value in list(namespace.items()) if value is old]:
            namespace[name] = new
