"""Every fused operation against its plain twin: values, gradients, compilation, export."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmplugin.ops.mlp_residual import mlp_residual, norm_mlp_residual, plain_mlp_residual
from mmplugin.ops.paths import fused_on
from mmplugin.ops.pool_residual import fused_norm_pool_residual, norm_pool_residual
from mmplugin.ops.rows import moments
from mmplugin.ops.strided_conv import strided_conv
from tests.tensors import image, relative_error

EPS = 1e-5
SIZES = [(1, 1), (2, 5), (13, 8), (37, 41)]  # the last in two pieces of rows


def fused_pool(x, gain):
    return fused_norm_pool_residual(x, gain, 3, EPS)


def plain_pool(x, gain):
    return norm_pool_residual(x, gain[:, :, None, None], 3, EPS)


def fused_mlp(*tensors):
    return norm_mlp_residual(*tensors, EPS, False)[0]


def fused_mlp_keeping(*tensors):
    return norm_mlp_residual(*tensors, EPS, True)[0]


def plain_mlp(*tensors):
    return plain_mlp_residual(*tensors, EPS)


def fused_conv(x, weight, bias):
    return strided_conv(x, weight, bias, 2, 1)


def plain_conv(x, weight, bias):
    return F.conv2d(x, weight, bias, 2, 1)


TWINS = {
    'pool': (fused_pool, plain_pool),
    'mlp': (fused_mlp, plain_mlp),
    'mlp, hidden kept': (fused_mlp_keeping, plain_mlp),
    'conv': (fused_conv, plain_conv),
    'conv, few pixels': (fused_conv, plain_conv),
}


def inputs_of(name, size, batch=2, dtype=torch.float64, samples=1, dim=3):
    """The map and what else the operation takes, all with gradient."""
    x = image(batch, dim, *size) * 1.5 + 0.7
    pixels = batch * math.prod((n + 1) // 2 for n in size)
    shapes = {
        'pool': [(samples, dim)],
        'conv': [(1, dim, 3, 3), (1,)],
        'conv, few pixels': [(2 * pixels, dim, 3, 3), (2 * pixels,)],
    }.get(name, [(dim,), (dim,), (7, dim), (7,), (dim, 7), (dim,), (samples, dim)])
    others = [image(*shape, seed=3 + i) for i, shape in enumerate(shapes)]
    if name.startswith('conv'):
        x = x.contiguous(memory_format=torch.channels_last)
    return [t.to(dtype).requires_grad_() for t in (x, *others)]


def results_of(form, inputs):
    y = form(*inputs)
    weights = image(*y.shape, seed=2).to(y.dtype)
    return [y, *torch.autograd.grad(y, inputs, weights)]


@pytest.mark.parametrize('samples', [1, 2])
@pytest.mark.parametrize('name', TWINS)
def test_gradient_is_that_of_finite_differences(name, samples):
    assert torch.autograd.gradcheck(TWINS[name][0], inputs_of(name, (4, 5), samples=samples))


@pytest.mark.parametrize(('dtype', 'bound'), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize('batch', [1, 3])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('name', TWINS)
def test_equals_its_twin(name, size, batch, dtype, bound):
    inputs = inputs_of(name, size, batch, dtype, samples=batch)
    exact = [t.detach().double().requires_grad_() for t in inputs]
    truth = results_of(TWINS[name][1], exact)
    for mine, true in zip(results_of(TWINS[name][0], inputs), truth):
        assert mine.dtype == dtype
        # a map of one cell has a gain without effect, and so without gradient
        assert (mine - true).abs().max() <= bound * true.abs().max().clamp_min(1)


@pytest.mark.parametrize('ratio', [33, 333])
@pytest.mark.parametrize('name', ['pool', 'mlp'])
def test_single_precision_far_from_zero(name, ratio):
    """The mean is many deviations off zero; bounds of docs/benchmarks.md."""
    inputs = inputs_of(name, (37, 41), dtype=torch.float32)
    inputs[0] = (image(2, 3, 37, 41) + ratio).float()
    with torch.no_grad():
        truth = TWINS[name][1](*(t.double() for t in inputs))
        fused = TWINS[name][0](*inputs)
    branch = (truth - inputs[0]).abs().max()
    assert (fused - truth).abs().max() < 2e-7 * ratio * max(branch, 1)


@pytest.mark.parametrize('name', TWINS)
def test_maps_and_gradients_of_any_layout(name):
    x, *others = inputs_of(name, (9, 12))
    y = TWINS[name][0](x, *others)
    weights = image(*y.shape, seed=2)
    expected = torch.autograd.grad(y, others, weights)
    strided = torch.empty(2, 3, 18, 12, dtype=x.dtype)[:, :, ::2].copy_(x.detach())
    for other in (strided, x.detach().contiguous(), x.detach().mT.contiguous().mT):
        again = TWINS[name][0](other, *others)
        assert again.is_contiguous(memory_format=torch.channels_last)
        gradients = torch.autograd.grad(again, others, weights.mT.contiguous().mT)
        for mine, first in zip((again, *gradients), (y, *expected)):
            assert relative_error(mine, first) < 1e-13


@pytest.mark.parametrize('name', TWINS)
def test_under_checkpointing(name):
    inputs = inputs_of(name, (13, 8), dtype=torch.float32)
    form = TWINS[name][0]
    again = results_of(lambda *t: checkpoint(form, *t, use_reentrant=False), inputs)
    assert all(torch.equal(a, b) for a, b in zip(again, results_of(form, inputs)))


@pytest.mark.parametrize('name', TWINS)
def test_registration_is_sound(name):
    """torch's own check of schema, autograd, fake kernel and dynamic shapes."""
    operations = {
        'pool': (fused_norm_pool_residual, (3, EPS)),
        'mlp': (norm_mlp_residual, (EPS, False)),
        'mlp, hidden kept': (norm_mlp_residual, (EPS, True)),
        'conv': (strided_conv, (2, 1)),
        'conv, few pixels': (strided_conv, (2, 1)),
    }
    operation, settings = operations[name]
    torch.library.opcheck(operation, (*inputs_of(name, (5, 6)), *settings))


def test_inference_form_of_the_mlp():
    x, _, _, *matrices, _ = (t.detach() for t in inputs_of('mlp', (37, 41)))
    torch.library.opcheck(mlp_residual, (x, *matrices, EPS))
    for eps, gamma in ((None, None), (EPS, torch.ones(3).double())):
        normed = x if eps is None else F.group_norm(x, 1, gamma, None, eps)
        w1, b1, w2, b2 = matrices
        hidden = F.gelu(F.conv2d(normed, w1[:, :, None, None], b1))
        expected = x + F.conv2d(hidden, w2[:, :, None, None], b2)
        assert relative_error(mlp_residual(x, *matrices, eps), expected) < 1e-13


@pytest.mark.parametrize('offset', [0, 30, 300])
@pytest.mark.parametrize('rows', [1, 2, 1500, 5000])
def test_moments_far_from_zero(rows, offset):
    matrix = image(rows, 6, dtype=torch.float32) * torch.arange(1.0, 7) + offset
    mean, variance = moments(matrix)
    exact = matrix.double()
    deviation = exact.std(correction=0)
    assert abs(mean - exact.mean()) < 1e-6 * (deviation + offset)
    assert abs(variance / exact.var(correction=0) - 1) < 1e-6 * (1 + offset / deviation)


def test_a_map_nobody_asks_of_has_no_gradient():
    *tensors, scale = inputs_of('mlp', (4, 5))
    y, _ = norm_mlp_residual(*tensors, scale, EPS, True)
    linear = nn.Linear(1, 1).double()
    (linear(scale.new_ones(1)) + 0 * scale.sum()).backward()
    assert y.requires_grad and scale.grad.abs().sum() == 0


def test_small_maps_take_the_unfused_forms():
    """The fused ones are slower there: few pixels a sample, or a map that fits into the caches."""
    shapes = [(1, 1024, 16, 16), (1, 64, 32, 32), (1, 64, 64, 64), (1, 64, 128, 128)]
    with torch.no_grad():
        assert [fused_on(torch.zeros(shape)) for shape in shapes] == [False, False, True, True]
    assert [fused_on(torch.zeros(shape)) for shape in shapes] == [False, False, False, True]
