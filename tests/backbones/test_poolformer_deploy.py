"""PoolFormer's deploy form gives what the training form gives."""

import copy

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from mmplugin.backbones.poolformer import PoolFormer
from tests.families import TINY
from tests.tensors import image, randomise, relative_error

pytestmark = pytest.mark.usefixtures('small_maps_fused')


def built(seed=0, **settings):
    return randomise(PoolFormer(TINY, **settings), seed).double().eval()


@torch.no_grad()
def largest_error(model, deployed, size=(65, 43)):
    x = image(1, 3, *size, dtype=next(model.parameters()).dtype)
    return max(relative_error(a, b) for a, b in zip(deployed(x), model(x)))


@pytest.mark.parametrize('fast', [True, False])
@pytest.mark.parametrize('size', [(64, 64), (65, 43), (3, 40), (97, 131)])
def test_equals_the_training_form(size, fast):
    model = built(fast=fast)
    deployed = copy.deepcopy(model).deploy()
    assert largest_error(model, deployed, size) < 1e-12
    assert largest_error(model.float(), deployed.float(), size) < 1e-5


@pytest.mark.parametrize(('dtype', 'bound'), [(torch.float16, 1), (torch.bfloat16, 8)])
def test_half_precision_loses_no_more_than_before(dtype, bound):
    model = built()
    deployed, x = copy.deepcopy(model).deploy(), image(1, 3, 65, 43)
    for before, after, truth in zip(
        model.to(dtype)(x.to(dtype)), deployed.to(dtype)(x.to(dtype)), built()(x)
    ):
        errors = [((y.double() - truth).norm() / truth.norm()).item() for y in (before, after)]
        assert errors[1] < 1.5 * errors[0] + bound * 1e-3


def test_is_in_place_and_idempotent():
    model = built()
    assert model.deploy() is model
    state = {k: v.clone() for k, v in model.state_dict().items()}
    assert model.deploy() is model and list(model.state_dict()) == list(state)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_affine_pairs_and_the_second_scale_are_gone():
    names = [n for n in built().deploy().state_dict() if n.startswith('stages.1.blocks.0')]
    block = 'stages.1.blocks.0'
    mlp = [f'{block}.mlp.{fc}.{part}' for fc in ('fc1', 'fc2') for part in ('weight', 'bias')]
    assert names == [f'{block}.layer_scale1.scale', *mlp]


def test_training_is_refused():
    model = PoolFormer(TINY)
    with pytest.raises(RuntimeError, match=r'PoolFormer: call eval\(\) before deploy\(\)'):
        model.deploy()
    model.eval().deploy()
    with pytest.raises(RuntimeError, match='PoolFormer: the deploy form cannot be trained'):
        model.train()


@pytest.mark.parametrize(
    'load', [nn.Module.load_state_dict, lambda m, s: load_state_dict(m, s, strict=True)]
)
def test_state_dict_of_the_training_form_stays_loadable(load):
    source = built(seed=7)
    detector = nn.ModuleDict({'backbone': built().deploy()})
    load(detector, {f'backbone.{k}': v for k, v in source.state_dict().items()})
    assert largest_error(source, detector['backbone']) < 1e-12
    again = built().deploy()
    load(again, source.deploy().state_dict())
    assert largest_error(source, again) == 0


def test_gradients_still_pass_for_those_who_look_at_them():
    model = built()
    deployed, x = copy.deepcopy(model).deploy(), image(1, 3, 64, 64).requires_grad_()
    gradients = [torch.autograd.grad(m(x)[-1].square().sum(), x)[0] for m in (model, deployed)]
    assert relative_error(*gradients) < 1e-10
