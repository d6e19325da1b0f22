"""docs/presets.md: its words fit the configs, and runs with them go through."""

import copy
import json
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch.nn import GroupNorm
from torch.nn.modules.batchnorm import _BatchNorm

from tests.configs.test_configs import ROOT, build, read
from tests.tools.conftest import detector, options, quick_runs, segmentor  # noqa: F401  (fixtures)
from tools import train

NEW = {'enable', 'with_cp', 'indices', 'norm_eval', 'norm_frozen', 'num_groups'}
"""Last words of keys that a config may leave to their defaults."""

FEW = ('train_dataloader.dataset.indices=2', 'val_dataloader.dataset.indices=1')
FITTING = {
    'single-gpu': ['detr_*', 'mask-rcnn_*', 'retinanet_*', 'fpn_*', 'upernet_*'],
    'small-batch 1': ['*_container-*_coco'],
    'small-batch 2': ['*_poolformer-*_coco'],
    'small-batch 3': ['fpn_poolformer*', 'upernet_poolformer*'],
    'small-batch 4': ['fpn_container*', 'upernet_container*'],
    'small-batch 5': ['upernet_*'],
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


def model_with(pattern, *names):
    """The model of the first config of a pattern, with the words of presets."""
    from mmengine.config import DictAction

    (path, *_) = sorted(ROOT.glob(f'configs/[cp]*/{pattern}.py'))
    config = copy.deepcopy(read(path))
    words = [word.split('=') for name in names for word in PRESETS[name]]
    config.merge_from_dict({key: DictAction._parse_int_float_bool(value) for key, value in words})
    return build(config)


def norms(module):
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


def test_small_batch_freezes_the_norms_of_container():
    model = model_with(*FITTING['small-batch 1'], 'small-batch 1').train()
    assert norms(model.backbone)
    for norm in norms(model.backbone):
        assert not norm.training
        assert not norm.weight.requires_grad
        assert not norm.bias.requires_grad


@pytest.mark.parametrize(
    ('pattern', 'names'),
    [
        ('fpn_poolformer*', ['small-batch 3']),
        ('fpn_container*', ['small-batch 4']),
        ('upernet_poolformer*', ['small-batch 3', 'small-batch 5']),
        ('upernet_container*', ['small-batch 4', 'small-batch 5']),
    ],
)
def test_small_batch_leaves_no_batch_norm_to_train_in_a_segmentor(pattern, names):
    model = model_with(pattern, *names).train()
    assert not any(norm.training or norm.weight.requires_grad for norm in norms(model))
    groups = [part.num_groups for part in model.decode_head.modules() if is_group_norm(part)]
    assert set(groups) == {32}


def is_group_norm(part):
    return isinstance(part, GroupNorm)


def saved_numbers(words):
    """How many numbers a small backbone keeps for its backward pass."""
    arch = dict(depths=[2, 2, 2, 2], embed_dims=[8, 16, 24, 32], mlp_ratios=[4, 4, 4, 4])
    config = Config(dict(model=dict(backbone=dict(type='mmplugin.PoolFormer', arch=arch))))
    config.merge_from_dict({key: value == 'True' for key, _, value in words})
    backbone = MODELS.build(config.model.backbone).train()
    sizes = []

    def weigh(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
        backbone(torch.rand(1, 3, 64, 64))
    return sum(sizes)


def test_low_memory_keeps_less_for_the_backward_pass():
    words = [word.partition('=') for word in PRESETS['low-memory']]
    assert saved_numbers(words) < saved_numbers([]) / 2


def test_single_gpu_counts_from_the_batch_in_the_name():
    paths = [
        p for pattern in FITTING['single-gpu'] for p in ROOT.glob(f'configs/[cp]*/{pattern}.py')
    ]
    for path in paths:
        sizes = re.search(r'_(\d+)xb(\d+)-', path.name)
        base = int(sizes[1]) * int(sizes[2]) if sizes else 16  # 1x, 3x: eight times two
        assert read(path).auto_scale_lr.base_batch_size == base, path.name


def first_line(work_dir):
    return json.loads(max(work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines()[0])


@pytest.mark.parametrize('name', ['single-gpu', 'small-batch 2'])
def test_learning_rate_follows_the_batch(name, request, tmp_path):
    project = request.getfixturevalue('detector')
    words = options(*PRESETS[name], 'auto_scale_lr.base_batch_size=16', *FEW)
    assert train.main([str(project.config), *words, '--work-dir', str(tmp_path)]) == 0
    assert first_line(tmp_path)['lr'] == pytest.approx(1e-3 * 2 / 16)


def test_a_run_with_frozen_norms_leaves_them_as_they_were(request, tmp_path):
    project = request.getfixturevalue('detector')
    config = Config.fromfile(project.config)
    arch = dict(depths=(1, 1, 1, 1), embed_dims=(8, 16, 24, 32), num_heads=(2, 2, 2, 2))
    config.model.backbone = dict(type='mmplugin.Container', arch=arch)
    config.dump(tmp_path / 'container.py')
    words = options(*PRESETS['small-batch 1'], 'auto_scale_lr.base_batch_size=16', *FEW)
    assert train.main([str(tmp_path / 'container.py'), *words, '--work-dir', str(tmp_path)]) == 0
    state = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['state_dict']
    prefixes = [key.removesuffix('running_mean') for key in state if key.endswith('running_mean')]
    assert prefixes
    for prefix in prefixes:
        assert not state[f'{prefix}running_mean'].any()
        assert (state[f'{prefix}weight'] == 1).all()


@pytest.mark.parametrize('kind', ['detector', 'segmentor'])
def test_bfloat16_trains_nearly_the_same(kind, request, tmp_path):
    project = request.getfixturevalue(kind)
    words = [*options(*PRESETS['amp-bf16']), '--work-dir', str(tmp_path)]
    assert train.main([str(project.config), *words]) == 0
    whole, half = first_line(project.work_dir)['loss'], first_line(tmp_path)['loss']
    assert half == pytest.approx(whole, rel=0.05)
    assert half != whole
    state = torch.load(next(tmp_path.glob('*.pth')), weights_only=False)['state_dict']
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize('name', ['low-memory', 'debug 1', 'debug 2', 'cpu', 'small-batch 3'])
def test_a_run_with_it_goes_through(name, request, tmp_path):
    project = request.getfixturevalue(
        'segmentor' if name in ('debug 2', 'small-batch 3') else 'detector'
    )
    # the tiny segmentor's head has 16 channels
    groups = ['model.decode_head.norm_cfg.num_groups=4'] if name == 'small-batch 3' else []
    base = ['auto_scale_lr.base_batch_size=16']
    words = [*options(*PRESETS[name], *groups, *base), '--work-dir', str(tmp_path)]
    assert train.main([str(project.config), *words]) == 0
    assert list(tmp_path.glob('*.pth'))
    if name.startswith('debug'):
        last = project.last if name == 'debug 1' else 'iter_2'
        assert [path.stem for path in tmp_path.glob('*.pth')] == [last]
        lines = max(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()
        assert [('loss' in json.loads(line)) for line in lines] == [True, True, False]
