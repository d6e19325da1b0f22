"""Lock file, wheel, source archive and editable install, all made for real and offline."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import uv
from packaging.requirements import Requirement

import mmplugin

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ('3.10', '3.11', '3.12', '3.13')
# the directories of these may belong to a compiled mmcv or to a fork
NEVER_REQUIRED = {'mmcv', 'mmcv-lite', 'mmengine', 'mmdet', 'mmsegmentation', 'opencv-python'}
LEAF = 'poolformer/mask-rcnn_poolformer-s12_fpn_1x_coco.py'


def requirements(name):
    """The requirements of a file in requirements/, comments left out."""
    text = (ROOT / 'requirements' / name).read_text()
    lines = [line.split('#')[0].strip() for line in text.splitlines()]
    return [Requirement(line) for line in lines if line]


def locked(python):
    """{name: [specifiers]} of the lock on Linux with this Python."""
    environment = {
        'python_version': python,
        'python_full_version': f'{python}.0',
        'sys_platform': 'linux',
        'platform_machine': 'x86_64',
    }
    found = {}
    for requirement in requirements('lock.txt'):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            found.setdefault(requirement.name, []).append(requirement.specifier)
    return found


@pytest.mark.parametrize('python', PYTHONS)
def test_lock_pins_every_direct_requirement_once(python):
    lock = locked(python)
    assert all(len(pins) == 1 for pins in lock.values())
    for requirement in requirements('lock.in'):
        (pin,) = next(iter(lock[requirement.name]))
        assert pin.operator == '=='
        assert pin.version in requirement.specifier, requirement


@pytest.mark.parametrize('python', PYTHONS)
def test_lock_needs_no_system_library(python):
    assert 'opencv-python-headless' in locked(python)
    assert 'opencv-python' not in locked(python)


def test_lock_names_its_command_and_no_place():
    text = (ROOT / 'requirements' / 'lock.txt').read_text()
    assert 'uv pip compile --universal --python-version 3.10' in text
    assert '://' not in text
    assert not re.search(r'^-|^\s+# via .*/(?!lock\.in)', text, re.MULTILINE)


def checkout(folder):
    """A copy of what git would have of the package, to build in."""
    ignore = shutil.ignore_patterns('__pycache__', '.mim', '*.egg-info')
    for path in ('mmplugin', 'configs', 'tools', 'requirements', 'docs'):
        shutil.copytree(ROOT / path, folder / path, ignore=ignore)
    for pattern in ('*.py', '*.toml', '*.yml', '*.in', '*.md', '*.cff', 'LICENSE', 'NOTICE'):
        for path in ROOT.glob(pattern):
            shutil.copy(path, folder)
    return folder


def build(hook, source, out):
    """Call one hook of the build backend in ``source``; return what it made."""
    code = f'import sys, setuptools.build_meta as b; print(b.build_{hook}(sys.argv[1]))'
    done = subprocess.run(
        [sys.executable, '-c', code, str(out)],
        cwd=source,
        check=True,
        capture_output=True,
        text=True,
    )
    return out / done.stdout.split()[-1]


def install(wheel, target):
    subprocess.run(
        [uv.find_uv_bin(), 'pip', 'install', '--quiet', '--offline', '--no-deps', '--python']
        + [sys.executable, '--target', str(target), str(wheel)],
        check=True,
    )


def load_configs(site, folder):
    """Load a leaf through a base and through the hub with the mmplugin of ``site``."""
    config = folder / 'mine.py'
    config.write_text(f"_base_ = 'mmplugin::{LEAF}'\nmodel = dict(backbone=dict(arch='s24'))\n")
    code = (
        'import site, sys\n'
        f'sys.path += [{str(site)!r}, {sysconfig.get_path("purelib")!r}]\n'
        f'site.addsitedir({str(site)!r})\n'
        'import mmplugin; print(mmplugin.__file__)\n'
        'from mmengine.config import Config\n'
        f'print(Config.fromfile({str(config)!r}).model.backbone.arch)\n'
        'from mmengine.hub import get_config\n'
        f"print(get_config('mmplugin::{LEAF}').model.backbone.arch)\n"
    )
    # -S: the .pth files of the running environment may point to a mmplugin of its own
    done = subprocess.run(
        [sys.executable, '-I', '-S', '-c', code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split('\n')[:3]


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return checkout(tmp_path_factory.mktemp('a checkout'))


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    return build('wheel', source, tmp_path_factory.mktemp('wheel'))


def members(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def carried(root):
    """What a wheel of the tree at ``root`` must have in ``.mim``."""
    files = [*root.glob('configs/**/*'), *root.glob('tools/*.py'), root / 'model-index.yml']
    files = [f for f in files if f.is_file() and '__pycache__' not in f.parts]
    return {f'mmplugin/.mim/{file.relative_to(root).as_posix()}' for file in files}


def test_wheel_carries_all_modules_configs_and_tools(source, wheel):
    names = members(wheel)
    assert {name for name in names if '/.mim/' in name} == carried(source)
    modules = {path.relative_to(source).as_posix() for path in source.glob('mmplugin/**/*.py')}
    assert modules <= names
    assert {name.split('/')[0] for name in names} == {
        'mmplugin',
        f'mmplugin-{mmplugin.__version__}.dist-info',
    }


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = f'mmplugin-{mmplugin.__version__}.dist-info/METADATA'
        metadata = message_from_string(archive.read(name).decode())
        assert not any(part.endswith('entry_points.txt') for part in archive.namelist())
    required = [Requirement(line) for line in metadata.get_all('Requires-Dist')]
    always = {r.name for r in required if r.marker is None}
    assert always == {'torch', 'torchvision', 'numpy'}
    extra = {r.name for r in required if r.marker and r.marker.evaluate({'extra': 'mm'})}
    assert NEVER_REQUIRED & (always | extra) == {'mmengine', 'mmcv-lite', 'mmdet', 'mmsegmentation'}
    assert metadata['Requires-Python'] == '>=3.10'


def test_metadata_agrees_with_the_lock(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = f'mmplugin-{mmplugin.__version__}.dist-info/METADATA'
        metadata = message_from_string(archive.read(name).decode())
    for python in PYTHONS:
        lock = {name.replace('-', '_'): pins for name, pins in locked(python).items()}
        for line in metadata.get_all('Requires-Dist'):
            requirement = Requirement(line)
            (pin,) = lock[requirement.name.replace('-', '_')][0]
            assert pin.version in requirement.specifier, (python, line)


def test_configs_load_from_an_installed_wheel(wheel, tmp_path):
    install(wheel, tmp_path / 'site')
    where, through_base, through_hub = load_configs(tmp_path / 'site', tmp_path)
    assert where == str(tmp_path / 'site' / 'mmplugin' / '__init__.py')
    assert (through_base, through_hub) == ('s24', 's12')


def test_configs_load_from_an_editable_install(tmp_path):
    tree = checkout(tmp_path / 'tree')
    install(build('editable', tree, tmp_path), tmp_path / 'site')
    where, through_base, through_hub = load_configs(tmp_path / 'site', tmp_path)
    assert where == str(tree / 'mmplugin' / '__init__.py')
    assert (through_base, through_hub) == ('s24', 's12')
    # links, so that an edited config is the one that loads
    assert (tree / 'mmplugin' / '.mim' / 'configs').resolve() == tree / 'configs'


def test_a_second_build_forgets_what_was_deleted(tmp_path):
    tree = checkout(tmp_path / 'tree')
    extra = tree / 'configs' / 'poolformer' / 'extra.py'
    extra.write_text('')
    first = members(build('wheel', tree, tmp_path))
    extra.unlink()
    second = members(build('wheel', tree, tmp_path))
    assert first - second == {'mmplugin/.mim/configs/poolformer/extra.py'}


def test_wheel_of_the_source_archive_is_the_same(source, wheel, tmp_path):
    with tarfile.open(build('sdist', source, tmp_path)) as archive:
        archive.extractall(tmp_path, filter='data')
    (tree,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert (tree / 'requirements' / 'lock.txt').exists()
    assert members(build('wheel', tree, tmp_path)) == members(wheel)
