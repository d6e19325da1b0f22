"""Who may import whom: the rooms of the package, and what each may ask of others."""

import ast
import sys
from pathlib import Path

import pytest

from .compat.environments import run_python

PACKAGE = Path(__file__).resolve().parents[1] / 'mmplugin'

FRAMEWORK = {'torch', 'mmengine', 'mmcv'}
TOOLING = FRAMEWORK | {'mmdet', 'mmseg', 'numpy', 'cv2', 'PIL', 'matplotlib', 'pycocotools'}
NETWORK = {
    'arguments',
    'ops',
    'layers',
    'mixers',
    'block',
    'metaformer',
    'registry',
    'weights',
    'backbones',
}
AROUND = {
    'files',
    'engine',
    'evaluation',
    'cli',
    'analysis',
    'visual',
    'datasets',
    'demo',
    'compat',
}

# room -> (packages of others it may import, rooms it may import); itself always
RULES = {
    '__init__': (set(), {'compat', 'weights'}),
    '__main__': (set(), {'__init__', 'compat'}),
    'compat': (FRAMEWORK | {'torchvision', 'numpy'}, set()),
    'registry': ({'mmengine'}, set()),
    'arguments': (set(), set()),
    'files': (set(), set()),
    'ops': (FRAMEWORK | {'triton'}, set()),
    'layers': (FRAMEWORK, {'ops'}),
    'mixers': (FRAMEWORK, {'ops', 'layers'}),
    'weights': (FRAMEWORK | {'safetensors', 'huggingface_hub', 'filelock'}, {'files'}),
    'block': (FRAMEWORK, {'ops', 'layers'}),
    'metaformer': (FRAMEWORK, {'arguments', 'ops', 'layers', 'weights'}),
    'backbones': (FRAMEWORK, NETWORK),
    # runs, whatever the network
    'engine': (FRAMEWORK | {'numpy'}, {'registry', 'files'}),
    'detectors': (FRAMEWORK | {'mmdet'}, {'registry'}),
    'evaluation': (
        {'mmengine', 'mmdet', 'numpy', 'pycocotools', 'terminaltables'},
        {'registry'},
    ),
    'hooks': (FRAMEWORK, {'registry'}),
    'optim': (FRAMEWORK, {'registry'}),
    'datasets': ({'numpy', 'cv2', 'pycocotools'}, set()),
    # what stands behind tools/: the network knows nothing of it
    'cli': (TOOLING, NETWORK | AROUND),
    'analysis': (TOOLING, NETWORK | AROUND),
    'benchmark': (TOOLING | {'timm'}, NETWORK | AROUND),
    'visual': (TOOLING, NETWORK | AROUND),
    'demo': (TOOLING, NETWORK | AROUND),
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imported(path: Path) -> set[str]:
    """Full names of what a file imports, inside functions too, without the standard library."""
    here = ('mmplugin', *path.relative_to(PACKAGE).parts)
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) - node.level]] if node.level else []
            module = '.'.join(base + ([node.module] if node.module else []))
            names.update(f'{module}.{alias.name}' for alias in node.names)
    return {name for name in names if name.partition('.')[0] not in sys.stdlib_module_names}


def target(name: str) -> tuple[str, str]:
    """What an imported name asks for: ('room', its name) or ('package', its name)."""
    package, _, rest = name.partition('.')
    if package != 'mmplugin':
        return 'package', package
    first = rest.partition('.')[0]
    inside = (PACKAGE / first).is_dir() or (PACKAGE / f'{first}.py').is_file()
    return 'room', first if first and inside else '__init__'


FILES = sorted(PACKAGE.rglob('*.py'))


def test_every_room_has_a_rule():
    rooms = {room_of(path) for path in FILES if '.mim' not in path.parts}
    assert rooms <= RULES.keys(), f'enter into RULES: {sorted(rooms - RULES.keys())}'


@pytest.mark.parametrize('room', RULES)
def test_imports_of(room):
    packages, rooms = RULES[room]
    allowed = {('package', name) for name in packages} | {('room', name) for name in rooms | {room}}
    wrong = [
        f'{path.relative_to(PACKAGE.parent)} imports {name}'
        for path in FILES
        if room_of(path) == room
        for name in sorted(imported(path))
        if target(name) not in allowed
    ]
    assert not wrong, '\n'.join(wrong)


def test_the_walk_sees_every_form_of_import(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), 'PACKAGE', tmp_path)
    (tmp_path / 'ops').mkdir()
    (tmp_path / 'layers.py').touch()
    file = tmp_path / 'ops' / 'fused.py'
    file.write_text(
        'import os, timm.models\n'
        'from . import twin\n'
        'from .. import layers\n'
        'from mmplugin import __version__\n'
        'def late():\n    from ..layers import Scale\n    import mmdet\n'
    )
    assert {target(name) for name in imported(file)} == {
        ('package', 'timm'),
        ('package', 'mmdet'),
        ('room', 'ops'),
        ('room', 'layers'),
        ('room', '__init__'),
    }


@pytest.mark.parametrize(
    ('module', 'absent'),
    [
        ('mmplugin', {'torch', 'numpy', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'timm'}),
        ('mmplugin.__main__', {'torch', 'numpy', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'timm'}),
        ('mmplugin.backbones', {'mmdet', 'mmseg', 'timm', 'safetensors', 'huggingface_hub'}),
    ],
)
def test_importing_loads_no_more_than_it_needs(module, absent):
    code = f'import sys, {module}\nprint(sorted({absent!r} & sys.modules.keys()))'
    found = run_python('-c', code)
    assert found.stdout == '[]\n', found.stderr
