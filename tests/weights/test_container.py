"""The released Container checkpoint loads through init_cfg, strictly, without running code."""

import argparse

import pytest
import torch
from mmengine.registry import MODELS

from mmplugin.weights.container import rename_released
from tests.families import TINY
from tests.reference.container import ReleasedContainer
from tests.tensors import image, randomise, relative_error
from tests.weights.test_loading import log, saved

__all__ = ['log']  # a fixture


def released(num_classes=7):
    settings = (TINY['depths'], TINY['embed_dims'], TINY['mlp_ratios'])
    return randomise(ReleasedContainer(*settings, num_classes=num_classes))


def training_file(state):
    """As the official ``main.py`` writes it."""
    return {
        'model': state,
        'optimizer': {'state': {}, 'param_groups': []},
        'lr_scheduler': {'last_epoch': 3},
        'epoch': 3,
        'model_ema': {},
        'scaler': {},
        'args': argparse.Namespace(lr=1e-3, model='container_v1_light'),
    }


def load(path, arch=TINY, **settings):
    init_cfg = dict(type='Pretrained', checkpoint=path)
    model = MODELS.build(dict(type='mmplugin.Container', arch=arch, init_cfg=init_cfg, **settings))
    model.init_weights()
    return model


def test_the_training_file_of_the_released_network_loads_whole(tmp_path, log):
    state = ReleasedContainer(num_classes=1000).state_dict()
    assert len(state) == 422
    model = load(saved(tmp_path, training_file(state)), arch='light')
    assert '420 of 420 tensors loaded' in log.text and 'released layout' in log.text
    assert "2 classifier's norm and head ignored" in log.text
    assert torch.equal(model.norms['3'].running_var, state['norm.running_var'])


@pytest.mark.parametrize('wrapped', [True, False])
def test_gives_the_released_outputs(tmp_path, wrapped):
    reference = released()
    state = reference.state_dict()
    model = load(saved(tmp_path, training_file(state) if wrapped else state)).double().eval()
    x = image(1, 3, 64, 96)
    for mine, theirs in zip(model(x), reference.double().eval()(x)):
        assert relative_error(mine, theirs) < 1e-12


def test_every_released_key_has_one_name_of_ours():
    keys = released().state_dict()
    renamed = rename_released(keys)
    assert len(set(renamed.values())) == len(keys)
    assert {old for old, new in renamed.items() if old == new} == {'head.weight', 'head.bias'}


def test_output_norms_of_other_stages_are_an_expected_gap(tmp_path, log):
    path = saved(tmp_path, released().state_dict())
    model = load(path, out_norm_cfg=dict(type='GN', num_groups=2))
    assert '6 output norms not in the file' in log.text
    assert (model.norms['0'].weight == 1).all() and (model.norms['3'].weight != 1).any()


def test_stages_not_requested_are_an_expected_gap(tmp_path, log):
    model = load(saved(tmp_path, released().state_dict()), out_indices=(0, 2))
    assert len(model.stages) == 3
    assert 'tensors of stages and outputs not requested ignored' in log.text


def test_own_file_round_trip_is_bit_equal(tmp_path):
    first = load(saved(tmp_path, released().state_dict()))
    state = {f'backbone.{k}': v for k, v in first.state_dict().items()}
    second = load(saved(tmp_path, {'state_dict': state})).state_dict()
    assert all(torch.equal(v, second[k]) for k, v in first.state_dict().items())


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('blocks1.0.attn.weight', 'blocks1.0.conv.weight'),  # the trap: `attn` and `conv` swapped
        ('blocks4.0.conv.weight', 'blocks4.0.attn.weight'),
        ('norm.running_mean', 'norm.mean'),
    ],
)
def test_a_wrong_name_is_refused(tmp_path, old, new):
    state = released().state_dict()
    state[new] = state.pop(old)
    with pytest.raises(ValueError, match=r'does not fit.*unexpected'):
        load(saved(tmp_path, state))


@pytest.mark.parametrize('missing', ['norm.weight', 'norm.running_var', 'blocks4.0.conv.bias'])
def test_a_file_without_a_tensor_is_refused(tmp_path, missing):
    state = released().state_dict()
    del state[missing]
    with pytest.raises(ValueError, match='does not fit: 1 missing'):
        load(saved(tmp_path, state))


def test_another_arch_is_refused(tmp_path):
    arch = dict(TINY, mlp_ratios=(4, 4, 4, 4))
    with pytest.raises(ValueError, match=r'of another shape.*Check that arch'):
        load(saved(tmp_path, released().state_dict()), arch=arch)


def test_code_in_a_file_is_never_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / 'ran'), 'w'))

    path = saved(tmp_path, {**training_file(released().state_dict()), 'args': Payload()})
    with pytest.raises(ValueError, match='refused'):
        load(path)
    assert not (tmp_path / 'ran').exists()
