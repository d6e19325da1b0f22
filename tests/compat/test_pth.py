"""``python -m mmplugin compat``: one line that Python obeys when it starts."""

import pytest

from mmplugin.compat import pth

from .environments import ROOT, Environment

ACTIVE = (
    "import sys; names = [getattr(f, '__name__', type(f).__name__) for f in sys.meta_path]; "
    "print('MmcvExtFinder' in names, 'torch' in sys.modules, 'mmengine' in sys.modules)"
)


@pytest.fixture
def environment(tmp_path):
    """A virtual environment with mmplugin and nothing else."""
    return Environment(tmp_path / 'venv', [ROOT])


def compat(environment, action, **options):
    return environment.run('-m', 'mmplugin', 'compat', action, **options)


def test_on_and_off_again(environment):
    file = environment.site / pth.FILE_NAME
    assert environment.run('-c', ACTIVE).stdout == 'False False False\n'
    assert compat(environment, 'status').stdout == f'off: {file}\n'
    for _ in range(2):  # a second time changes nothing
        assert compat(environment, 'install').stdout == f'on: {file}\n'
    assert file.read_text().count('\n') == 1
    assert compat(environment, 'status').stdout == f'on: {file}\n'
    assert environment.run('-c', ACTIVE).stdout == 'True False False\n'
    assert compat(environment, 'uninstall').stdout == f'off: {file} removed\n'
    assert environment.run('-c', ACTIVE).stdout == 'False False False\n'
    again = compat(environment, 'uninstall')
    assert (again.returncode, again.stdout) == (0, f'off: {file} was not there\n')


def test_python_starts_in_silence_after_mmplugin_is_gone(environment):
    compat(environment, 'install')
    (environment.site / 'a-packages.pth').unlink()
    started = environment.run('-c', ACTIVE)
    assert (started.stdout, started.stderr) == ('False False False\n', '')


def test_refuses_where_mmplugin_is_only_in_the_current_folder(environment):
    (environment.site / 'a-packages.pth').unlink()
    refused = compat(environment, 'install', cwd=ROOT)
    assert refused.returncode == 1
    assert 'only from the current folder; install it first (pip install .)' in refused.stderr
    assert refused.stderr.count('\n') == 1
    assert not (environment.site / pth.FILE_NAME).exists()


def test_refuses_where_it_cannot_write(environment):
    (environment.site / pth.FILE_NAME).mkdir()
    refused = compat(environment, 'install')
    assert refused.returncode == 1
    assert 'cannot be changed (Is a directory); use a virtual environment' in refused.stderr
    assert refused.stderr.count('\n') == 1


def test_comes_after_an_editable_install():
    others = ['__editable__.mmplugin-0.1.0.pth', '__editable___mmplugin_finder.pth', 'easy.pth']
    assert sorted([pth.FILE_NAME, *others])[-1] == pth.FILE_NAME
