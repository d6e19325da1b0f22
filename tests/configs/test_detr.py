"""The DETR family: the backbone's learning rate, gradient clipping, batches, schedules, padding."""

import copy

import pytest
from mmengine.optim import build_optim_wrapper

from tests.configs.test_configs import LEAVES, TEMPLATES, full_model, name_of, read

DETRS = [path for path in [*LEAVES, *TEMPLATES] if 'encoder' in read(path).model]
SCHEDULES = {  # epochs -> milestones, as published
    'detr_8xb2-50e': (50, [33]),
    'detr_8xb2-150e': (150, [100]),
    'smca-detr_8xb2-50e': (50, [40]),
    'conditional-detr_8xb2-50e': (50, [40]),
    'dab-detr_8xb2-50e': (50, [40]),
    'deformable-detr_8xb4-50e': (50, [40]),
    'deformable-detr-1scale_8xb4-50e': (50, [40]),
    'dino-4scale_8xb2-12e': (12, [11]),
}


def test_every_detr_is_here():
    assert len(DETRS) == sum('detr' in path.stem or 'dino' in path.stem for path in DETRS) >= 25


@pytest.mark.parametrize('path', DETRS, ids=name_of)
def test_recipe_is_the_authors(path):
    config = read(path)
    parts = path.stem.split('_')
    epochs, milestones = SCHEDULES[f'{parts[0]}_{parts[-2]}']
    assert config.train_cfg.max_epochs == epochs
    assert [scheduler.milestones for scheduler in config.param_scheduler] == [milestones]
    assert config.param_scheduler[0].end == epochs
    lr = 2e-4 if parts[0].startswith('deformable') else 1e-4
    assert config.optim_wrapper.optimizer == dict(type='AdamW', lr=lr, weight_decay=1e-4)
    assert config.optim_wrapper.clip_grad.max_norm == 0.1
    gpus, images = parts[-2].partition('-')[0].split('xb')
    assert config.train_dataloader.batch_size == int(images)
    assert config.auto_scale_lr.base_batch_size == int(gpus) * int(images)
    assert config.model.data_preprocessor.pad_size_divisor == 32
    assert config.custom_hooks == [dict(type='mmplugin.ConvergenceGuard')]


@pytest.mark.parametrize('path', DETRS, ids=name_of)
def test_backbone_learns_at_a_tenth_and_gates_never_decay(path):
    """mmengine's ``custom_keys`` take the longest key that matches, and that alone."""
    config = read(path)
    model = full_model(path)
    wrapper = build_optim_wrapper(model, copy.deepcopy(config.optim_wrapper))
    names = {id(p): name for name, p in model.named_parameters()}
    base = config.optim_wrapper.optimizer
    slow = ('backbone', 'sampling_offsets', 'reference_points')
    slow = slow if config.model.type == 'DeformableDETR' else slow[:1]
    seen = set()
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            name = names[id(parameter)]
            seen.add(name)
            factor = 0.1 if any(key in name for key in slow) else 1
            assert group['lr'] == pytest.approx(base.lr * factor), name
            assert group['weight_decay'] == (0 if '.gate.' in name else base.weight_decay), name
    assert seen == {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize('path', [path for path in DETRS if 'container' in path.stem], ids=name_of)
def test_batch_norms_of_container_are_frozen(path):
    backbone = read(path).model.backbone
    assert backbone.norm_eval and backbone.norm_frozen


def test_single_scale_means_one_level_everywhere():
    paths = [path for path in DETRS if '1scale' in path.stem]
    assert len(paths) == 3
    for path in paths:
        model = full_model(path)
        assert model.num_feature_levels == 1 and model.neck.extra_convs is None
        for layer in model.encoder.layers:
            assert layer.self_attn.num_levels == 1
        for layer in model.decoder.layers:
            assert layer.cross_attn.num_levels == 1
