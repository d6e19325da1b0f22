"""The deploy form gives what the training form gives, at every size and on every pixel."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from mmplugin.backbones.container import Container
from mmplugin.mixers.affinities import DepthwiseAffinity, SelfAffinity
from mmplugin.mixers.context_aggregation import ContextAggregation
from mmplugin.mixers.gates import FreeGate
from mmplugin.ops.fold import fold_norm, with_identity
from tests.families import TINY
from tests.tensors import image, randomise, relative_error

pytestmark = pytest.mark.usefixtures('small_maps_fused')

EVERYWHERE = dict(TINY, num_heads=(2, 2, 3, 4), dynamic=(True,) * 4)
TABLES = dict(EVERYWHERE, static=('table', None, 'table', 'conv'), img_size=64)
FORMS = {
    'light': dict(arch=TINY),
    'full, free gate': dict(arch=EVERYWHERE, gate='free'),
    'tables': dict(arch=TABLES, table_mode='resample'),
    'windows': dict(arch=EVERYWHERE, window_size=4),
    'no batch norm': dict(arch=TINY, norm_cfg=dict(type='GN', num_groups=2)),
    'static alone': dict(arch=dict(TINY, dynamic=(False,) * 4)),
}


def built(form, dtype=torch.float64):
    return randomise(Container(**FORMS[form])).to(dtype).eval()


@torch.no_grad()
def largest_error(model, deployed, size):
    x = image(1, 3, *size, dtype=next(model.parameters()).dtype)
    return max(relative_error(a, b) for a, b in zip(deployed(x), model(x)))


@pytest.mark.parametrize('size', [(64, 64), (65, 43), (3, 40), (97, 131)])
@pytest.mark.parametrize('form', FORMS)
def test_equals_the_training_form(form, size):
    model = built(form)
    deployed = copy.deepcopy(model).deploy()
    assert largest_error(model, deployed, size) < 1e-12
    assert largest_error(model.float(), deployed.float(), size) < 1e-5


@pytest.mark.parametrize('size', [(97, 65), (160, 224)])
def test_the_released_network_in_single_precision(size):
    torch.manual_seed(0)
    model = Container('light').eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            randomise(module)
    deployed = copy.deepcopy(model).deploy()
    assert largest_error(model, deployed, size) < 1e-5


def test_is_in_place_and_idempotent():
    model = built('light')
    assert model.deploy() is model
    state = {k: v.clone() for k, v in model.state_dict().items()}
    assert model.deploy() is model and list(model.state_dict()) == list(state)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_fewer_layers_are_left():
    def kinds(model):
        return [type(m).__name__ for m in model.modules() if not list(m.children())]

    model = built('light')
    assert kinds(model).count('BatchNorm2d') == 11 and 'ConvexGate' in kinds(model)
    model.deploy()
    assert kinds(model).count('BatchNorm2d') == 1  # the output norm of stage 4
    assert not {'ConvexGate', 'ResidualDepthwise'} & set(kinds(model))
    assert not any('static.bias' in name for name in model.state_dict())


def test_training_is_refused():
    model = Container(TINY)
    with pytest.raises(RuntimeError, match=r'call eval\(\) before deploy\(\)'):
        model.deploy()
    assert not model.deployed and any('norm1.running_mean' in k for k in model.state_dict())
    model.eval().deploy()
    with pytest.raises(RuntimeError, match='the deploy form cannot be trained'):
        model.train()
    assert not model.eval().training


def by_torch(model, state):
    model.load_state_dict(state)


def by_mmengine(model, state):
    load_state_dict(model, state, strict=True)


@pytest.mark.parametrize('load', [by_torch, by_mmengine])
@pytest.mark.parametrize('share', [-3.0, -9.0, 2.0])
def test_state_dict_of_the_training_form_stays_loadable(load, share):
    """Also as part of a detector, and where the gate can and cannot be absorbed."""
    source = randomise(Container(TINY), seed=7).double().eval()
    with torch.no_grad():
        source.stages[3].blocks[0].token_mixer.gate.logit.fill_(share)
    detector = nn.ModuleDict({'backbone': built('light').deploy()})
    state = {f'backbone.{k}': v for k, v in source.state_dict().items()}
    keys = list(state)
    load(detector, state)
    assert list(state) == keys
    assert largest_error(source, detector['backbone'], (65, 43)) < 1e-12
    again = built('light').deploy()
    load(again, source.deploy().state_dict())
    assert largest_error(source, again, (65, 43)) == 0


def test_state_dict_of_another_form_is_refused():
    model = built('light')
    state = model.state_dict()
    del state['stages.0.blocks.0.norm1.weight']
    deployed = copy.deepcopy(model).deploy()
    with pytest.raises(RuntimeError, match=r'stages\.0\.blocks\.0\.norm1\.running_mean'):
        deployed.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r'Missing key.*norm1\.weight'):
        model.load_state_dict(deployed.state_dict())


# border ----------------------------------------------------------------------------------------


def test_the_shift_of_a_norm_does_not_pass_a_padded_convolution():
    """What deploy() must not do: exact inside, wrong at the border, where zeros are read."""
    model = built('static alone')
    mixer = model.stages[1].blocks[0].token_mixer
    x = image(1, 16, 7, 7)
    wrong = copy.deepcopy(mixer)
    with torch.no_grad():
        passed = wrong.static.weight.sum((1, 2, 3)) * wrong.in_proj.bias
        wrong.static.bias += passed
        wrong.in_proj.bias.zero_()
        right = copy.deepcopy(mixer)
        right.deploy()
        difference = (wrong(x) - mixer(x)).abs()
        assert difference[:, :, 2:-2, 2:-2].max() < 1e-12
        assert difference.max() > 0.05
        assert (right(x) - mixer(x)).abs().max() < 1e-12


@pytest.mark.parametrize('conv', [nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, groups=4)])
def test_a_norm_folds_into_no_padded_convolution(conv):
    with pytest.raises(ValueError, match='its shift is not in the zeros past the border'):
        fold_norm(nn.BatchNorm2d(4), conv)


@pytest.mark.parametrize('affine', [True, False])
def test_a_norm_folds_into_a_larger_unpadded_kernel(affine):
    norm = randomise(nn.BatchNorm2d(3, affine=affine)).double().eval()
    conv = randomise(nn.Conv2d(3, 5, (2, 3))).double()
    x = image(2, 3, 6, 7)
    expected = conv(norm(x))
    fold_norm(norm, conv)
    assert relative_error(conv(x), expected) < 1e-12


def test_the_identity_passes_the_border():
    conv = randomise(nn.Conv2d(3, 3, 5, padding=2, groups=3)).double()
    for size in ((1, 1), (2, 6), (9, 7)):
        x = image(2, 3, *size)
        assert relative_error(with_identity(conv)(x), x + conv(x)) < 1e-12
    with pytest.raises(ValueError, match='depthwise'):
        with_identity(nn.Conv2d(3, 6, 3, padding=1, groups=3))


# gate ------------------------------------------------------------------------------------------


def gated(alpha, beta):
    parts = SelfAffinity(3), DepthwiseAffinity(6, 3, num_heads=2), FreeGate()
    mixer = randomise(ContextAggregation(6, *parts)).double().eval()
    with torch.no_grad():
        mixer.gate.alpha.fill_(alpha)
        mixer.gate.beta.fill_(beta)
    deployed = copy.deepcopy(mixer)
    deployed.deploy()
    return mixer, deployed


@pytest.mark.parametrize(
    ('alpha', 'beta', 'absorbed'),
    [
        (0.3, 0.7, True),
        (1, 0, True),
        (0, 0, False),
        (-2, 1, True),
        (1, -40, True),
        (1, 70, False),
        (0, 1, False),
        (1e-9, 1, False),
    ],
)
def test_a_gate_is_absorbed_where_its_numbers_stay_tame(alpha, beta, absorbed):
    mixer, deployed = gated(alpha, beta)
    assert (deployed.gate is None) == absorbed
    x = image(2, 6, 5, 4)
    assert relative_error(deployed(x), mixer(x)) < 1e-12


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('alpha', [1.0, 0.5, 0.016, 1e-6])
def test_half_precision_loses_no_more_than_before(alpha, dtype):
    mixer, deployed = gated(alpha, 1.0)
    x = image(2, 6, 9, 8)
    expected = mixer(x)
    before, after = (
        relative_error(m.to(dtype)(x.to(dtype)).double(), expected) for m in (mixer, deployed)
    )
    assert after < 2 * before + torch.finfo(dtype).eps


def test_the_bias_of_keys_is_nothing_to_the_softmax():
    mixer, deployed = gated(0.5, 0.5)
    assert (deployed.in_proj.bias[6:12] == 0).all() and (mixer.in_proj.bias[6:12] != 0).all()
    assert F.mse_loss(deployed.in_proj.bias[:6], mixer.in_proj.bias[:6]) == 0
