"""Functions that run right after a module is executed."""

import importlib
import importlib.util
import sys

import pytest

from mmplugin.compat import import_hooks


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Name of a module on the path, not imported yet."""
    (tmp_path / 'hooked_module.py').write_text('value = 1\ndef function():\n    return 1\n')
    (tmp_path / 'hooked_user.py').write_text('from hooked_module import function, value\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield 'hooked_module'
    for name in ('hooked_module', 'hooked_user'):
        sys.modules.pop(name, None)


def test_runs_before_an_importer_sees_the_module(module):
    import_hooks.after_import(module, lambda loaded: setattr(loaded, 'value', loaded.value + 1))
    assert importlib.import_module('hooked_user').value == 2


def test_runs_at_once_where_the_module_is_loaded(module):
    importlib.import_module(module)
    seen = []
    import_hooks.after_import(module, seen.append)
    assert seen == [sys.modules[module]]


def test_hooks_run_once_and_in_order(module):
    calls = []
    for number in (1, 2):
        import_hooks.after_import(module, lambda _, number=number: calls.append(number))
    importlib.import_module(module)
    importlib.reload(sys.modules[module])
    assert calls == [1, 2]


def test_looking_for_a_module_does_not_run_its_hook(module):
    calls = []
    import_hooks.after_import(module, calls.append)
    spec = importlib.util.find_spec(module)
    assert spec.loader.get_source(module).startswith('value')
    assert calls == []
    importlib.import_module(module)
    assert len(calls) == 1


def test_a_hook_that_raises_is_not_lost(module):
    calls = []

    def hook(loaded):
        calls.append(loaded)
        if len(calls) == 1:
            raise RuntimeError('not yet')

    import_hooks.after_import(module, hook)
    with pytest.raises(RuntimeError, match='not yet'):
        importlib.import_module(module)
    importlib.import_module(module)
    assert len(calls) == 2


def test_module_keeps_its_own_loader(module):
    import_hooks.after_import(module, lambda _: None)
    loaded = importlib.import_module(module)
    assert type(loaded.__loader__).__name__ == 'SourceFileLoader'
    assert loaded.__spec__.loader is loaded.__loader__


def test_absent_module_stays_absent():
    import_hooks.after_import('no_such_module_at_all', lambda _: None)
    with pytest.raises(ModuleNotFoundError, match='no_such_module_at_all'):
        importlib.import_module('no_such_module_at_all')
    assert importlib.util.find_spec('no_such_module_at_all') is None


def test_replace_everywhere_finds_other_names_and_keeps_to_packages(module):
    user = importlib.import_module('hooked_user')
    source = sys.modules[module]
    old = source.function
    user.alias = old
    import_hooks.replace_everywhere(old, 'new', packages=('hooked_user',))
    assert (source.function, user.function, user.alias) == (old, 'new', 'new')
    import_hooks.replace_everywhere(old, 'new')
    assert source.function == 'new'
