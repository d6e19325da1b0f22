"""docs/presets.md: its words fit the configs, and runs with them go through."""

import copy
import re

import pytest

from tests.configs.test_configs import ROOT, build, read
from tests.tools.conftest import detector, options, quick_runs, segmentor  # noqa: F401
from tools import train

NEW = {'dtype', 'enable', 'with_cp', 'indices', 'norm_eval', 'norm_frozen', 'num_groups'}
"""Last words of keys that a config may leave to their defaults."""

FITTING = {
    'single-gpu': ['detr_*', 'mask-rcnn_*', 'retinanet_*', 'fpn_*', 'upernet_*'],
    'small-batch 1': ['*_container-*_coco'],
    'small-batch 2': ['*_poolformer-*_coco'],
    'small-batch 3': ['fpn_poolformer*'],
    'cpu': ['*'],
    'amp-bf16': ['*'],
    'low-memory': ['*'],
    'debug 1': ['*_coco'],
    'debug 2': ['*ade20k-512x512'],
}


def presets():
    """Name -> KEY=VALUE words; numbered where a preset has several lines."""
    found = {}
    for section in (ROOT / 'docs/presets.md').read_text().split('\n## ')[1:]:
        name = section.splitlines()[0]
        lines = [line.split() for line in re.findall(r'^    --cfg-options (.*)$', section, re.M)]
        for number, words in enumerate(lines, 1):
            found[name if len(lines) == 1 else f'{name} {number}'] = words
    return found


PRESETS = presets()


def test_every_preset_is_tried():
    assert PRESETS.keys() == FITTING.keys()


@pytest.mark.parametrize('name', PRESETS)
def test_sets_what_configs_have(name):
    paths = [p for pattern in FITTING[name] for p in sorted(ROOT.glob(f'configs/*/{pattern}.py'))]
    paths = [path for path in paths if path.parent.name in ('container', 'poolformer')]
    assert paths
    for path in paths:
        config = read(path)
        for word in PRESETS[name]:
            *parents, last = word.partition('=')[0].split('.')
            place = config
            for key in parents:
                assert key in place, f'{path.name}: {word}'
                place = place[key]
            assert last in place or last in NEW, f'{path.name}: {word}'


@pytest.mark.parametrize('name', ['small-batch 1', 'small-batch 3', 'low-memory'])
def test_models_take_the_words(name):
    from mmengine.config import DictAction

    (path, *_) = sorted(ROOT.glob(f'configs/[cp]*/{FITTING[name][0]}.py'))
    config = copy.deepcopy(read(path))
    words = [word.split('=') for word in PRESETS[name]]
    config.merge_from_dict({key: DictAction._parse_int_float_bool(value) for key, value in words})
    build(config)


@pytest.mark.parametrize('name', ['low-memory', 'debug 1', 'debug 2', 'cpu'])
def test_a_run_with_it_goes_through(name, request, tmp_path):
    project = request.getfixturevalue('segmentor' if name == 'debug 2' else 'detector')
    words = [*options(*PRESETS[name]), '--work-dir', str(tmp_path)]
    assert train.main([str(project.config), *words]) == 0
    assert list(tmp_path.glob('*.pth'))
