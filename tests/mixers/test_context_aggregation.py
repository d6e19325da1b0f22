"""One mixer; each published case of it is a setting, equal to that case written out plainly."""

import pytest
import torch
from torch import nn

from mmplugin.mixers.affinities import DepthwiseAffinity, SelfAffinity
from mmplugin.mixers.context_aggregation import ContextAggregation
from mmplugin.mixers.gates import ConvexGate, FreeGate
from mmplugin.mixers.tables import TableAffinity
from tests.reference.context_aggregation import aggregate, convolution_matrix
from tests.tensors import image, randomise, relative_error, weighted_sum

C, H, W = 12, 4, 5


def assert_equal(mixer, plain):
    """Outputs, and gradients of the input and of every parameter."""
    results = []
    for form in (mixer, plain):
        x = image(2, C, H, W).requires_grad_()
        y = form(x)
        results.append((y, *torch.autograd.grad(weighted_sum([y]), [x, *mixer.parameters()])))
    largest = max(g.abs().max() for g in results[1][1:])
    assert relative_error(results[0][0], results[1][0]) < 1e-12
    for mine, theirs in zip(*results):
        # the key's bias has no gradient but rounding
        assert (mine - theirs).abs().max() < 1e-12 * theirs.abs().max() + 1e-14 * largest


def build(dynamic=None, static=None, gate=None):
    return randomise(ContextAggregation(C, dynamic, static, gate)).double()


def kernels(static):
    return [convolution_matrix(kernel[0], H, W) for kernel in static.weight]


def test_transformer_is_multi_head_attention():
    mixer = build(SelfAffinity(3))
    theirs = nn.MultiheadAttention(C, 3, batch_first=True).double()
    state = {
        key: value.flatten(1) if value.dim() == 4 else value
        for key, value in mixer.state_dict().items()
    }
    theirs.load_state_dict({k.replace('in_proj.', 'in_proj_'): v for k, v in state.items()})
    x = image(2, C, H, W)
    tokens = x.flatten(2).transpose(1, 2)
    expected = theirs(tokens, tokens, tokens)[0].transpose(1, 2).view_as(x)
    assert relative_error(mixer(x), expected) < 1e-12


def test_transformer_written_out():
    mixer = build(SelfAffinity(3))
    assert_equal(mixer, lambda x: aggregate(x, mixer.in_proj, mixer.out_proj, 1, 0, 3, None))


def test_depthwise_convolution():
    mixer = build(static=DepthwiseAffinity(C, 3))
    conv = mixer.static
    assert type(conv).__mro__[1] is nn.Conv2d and conv.weight.shape == (C, 1, 3, 3)
    assert_equal(
        mixer,
        lambda x: aggregate(x, mixer.in_proj, mixer.out_proj, None, 1, C, kernels(conv), conv.bias),
    )


def test_multi_head_depthwise_shares_kernels():
    mixer = build(static=DepthwiseAffinity(C, 5, num_heads=4))
    conv = mixer.static
    assert conv.weight.shape == (4, 1, 5, 5)
    assert_equal(
        mixer,
        lambda x: aggregate(x, mixer.in_proj, mixer.out_proj, None, 1, 4, kernels(conv), conv.bias),
    )


def test_mlp_mixer_is_a_linear_layer_over_tokens():
    mixer = build(static=TableAffinity(1, (H, W)))
    tokens = nn.Linear(H * W, H * W, bias=False).double()
    tokens.weight = nn.Parameter(mixer.static.table[0].detach())
    x = image(2, C, H, W)
    expected = mixer.out_proj(tokens(mixer.in_proj(x).flatten(2)).view_as(x))
    assert relative_error(mixer(x), expected) < 1e-12


@pytest.mark.parametrize('heads', [1, 3, C])
def test_multi_head_mlp(heads):
    mixer = build(static=TableAffinity(heads, (H, W)))
    assert_equal(
        mixer,
        lambda x: aggregate(x, mixer.in_proj, mixer.out_proj, None, 1, heads, mixer.static.table),
    )


@pytest.mark.parametrize('gate', [ConvexGate, FreeGate])
def test_pam_adds_the_table_after_the_softmax(gate):
    mixer = build(SelfAffinity(3), TableAffinity(3, (H, W)), gate())

    def plain(x):
        alpha, beta = written_out(mixer.gate)
        return aggregate(x, mixer.in_proj, mixer.out_proj, alpha, beta, 3, mixer.static.table)

    assert_equal(mixer, plain)


@pytest.mark.parametrize('gate', [ConvexGate, FreeGate])
def test_container(gate):
    """Heads of one channel let one matrix hold attention and a kernel a channel."""
    mixer = build(SelfAffinity(C), DepthwiseAffinity(C, 5), gate())

    def plain(x):
        alpha, beta = written_out(mixer.gate)
        parts = kernels(mixer.static), mixer.static.bias
        return aggregate(x, mixer.in_proj, mixer.out_proj, alpha, beta, C, *parts)

    assert_equal(mixer, plain)


def test_container_with_kernels_shared_like_attention():
    mixer = build(SelfAffinity(3), DepthwiseAffinity(C, 3, num_heads=3), FreeGate())

    def plain(x):
        parts = kernels(mixer.static), mixer.static.bias
        alpha, beta = written_out(mixer.gate)
        return aggregate(x, mixer.in_proj, mixer.out_proj, alpha, beta, 3, *parts)

    assert_equal(mixer, plain)


def written_out(gate):
    if isinstance(gate, FreeGate):
        return gate.alpha, gate.beta
    share = 1 / (1 + torch.exp(-gate.logit))
    return share, 1 - share


@pytest.mark.parametrize('gate', [ConvexGate, FreeGate])
def test_gates_start_at_one_half_and_tell_their_factors(gate):
    assert [factor.item() for factor in gate().factors()] == [0.5, 0.5]
    moved = randomise(gate()).double()
    x, y = image(2, 3), image(2, 3, seed=5)
    alpha, beta = moved.factors()
    assert torch.equal(moved(x, y), alpha * x + beta * y) and alpha != beta


def test_two_parts_without_a_gate_are_summed():
    mixer = build(SelfAffinity(3), DepthwiseAffinity(C, 3))
    gated = build(SelfAffinity(3), DepthwiseAffinity(C, 3), FreeGate())
    gated.load_state_dict(
        {**mixer.state_dict(), 'gate.alpha': torch.ones(1), 'gate.beta': torch.ones(1)}
    )
    assert relative_error(mixer(image(1, C, H, W)), gated(image(1, C, H, W))) < 1e-14


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        (dict(dynamic=None, static=None), 'needs a dynamic part, a static part or both'),
        (dict(dynamic=SelfAffinity(2), static=None, gate=FreeGate()), 'a gate mixes two parts'),
    ],
)
def test_parts_that_make_no_mixer_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        ContextAggregation(C, **parts)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [((8, 4), 'odd number, got 4'), ((8, 3, 3), '3 heads do not divide 8 channels')],
)
def test_wrong_kernels_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DepthwiseAffinity(*arguments)


@pytest.mark.parametrize('mode', ['tile', 'resample'])
def test_windows_and_tables_compile_in_one_graph(mode):
    mixer = build(SelfAffinity(3, window_size=3), TableAffinity(3, (3, 3), mode), ConvexGate())
    x = image(2, C, H, W)
    with torch.no_grad():
        compiled = torch.compile(mixer, backend='eager', fullgraph=True)(x)
        assert relative_error(compiled, mixer(x)) < 1e-12
