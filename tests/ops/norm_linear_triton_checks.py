"""The Triton norm and product against its plain twin: run by test_norm_linear_triton.py."""

import pytest
import torch
import torch._dynamo.testing
from torch.utils.checkpoint import checkpoint

from mmplugin.ops.norm_linear_triton import plain_norm_linear, triton_norm_linear
from tests.ops.triton_tools import BOUNDS, DEVICE, assert_alike, laid_out, on_gpu
from tests.tensors import image

EPS = 1e-5
HALVES = torch.float16, torch.bfloat16

slow = pytest.mark.slow

# batch, channels, height, width; units; layout; whether GELU follows
CASES = [
    pytest.param((3, 5, 3, 7), 9, 'channels_last', False, id='odd'),
    pytest.param((1, 3, 5, 3), 4, 'strided', True, id='gelu'),
    pytest.param((1, 35, 2, 9), 20, 'contiguous', False, id='channel-blocks'),
    pytest.param((1, 2, 1, 1), 3, 'contiguous', True, id='one-cell'),
    pytest.param((2, 6, 4, 5), 8, 'transposed', False, id='transposed', marks=slow),
    pytest.param((0, 3, 4, 4), 5, 'contiguous', True, id='no-sample'),
    pytest.param((2, 70, 13, 11), 150, 'channels_last', True, id='every-block', marks=slow),
    pytest.param((2, 64, 200, 336), 256, 'channels_last', True, id='stage-1', marks=on_gpu),
    pytest.param((2, 320, 50, 84), 1280, 'contiguous', False, id='stage-3', marks=on_gpu),
    pytest.param((1, 512, 25, 42), 2048, 'channels_last', True, id='stage-4', marks=on_gpu),
]
DTYPES = [  # of the map and the norm, of the product
    (torch.float16, torch.float16),
    (torch.bfloat16, torch.bfloat16),
    (torch.float32, torch.float16),
    (torch.float32, torch.bfloat16),
]


def inputs_of(shape, units=4, layout='contiguous', dtypes=(torch.float32,) * 2, offset=0.7):
    """Map, gamma, beta, weight and bias."""
    channels = shape[1]
    norm = image(channels, seed=3) + 1, image(channels, seed=4)
    linear = image(units, channels, seed=5) / channels**0.5, image(units, seed=6)
    x = laid_out((image(*shape) * 1.5 + offset).to(DEVICE, dtypes[0]), layout)
    norm = (t.to(DEVICE, dtypes[0]) for t in norm)
    linear = (t.to(DEVICE, dtypes[1]) for t in linear)
    return [t.requires_grad_() for t in (x, *norm, *linear)]


def kernel(*inputs, gelu=False):
    return triton_norm_linear(*inputs, EPS, gelu)[0]


def plain(*inputs, gelu=False):
    return plain_norm_linear(*inputs, EPS, gelu)


def results_of(form, inputs, gelu=False, upstream=None):
    """The result and all gradients, of an upstream gradient in a layout of its own."""
    y = form(*inputs, gelu=gelu)
    weights = image(*y.shape, seed=2).to(upstream or y.dtype).to(y).mT.contiguous().mT
    return [y, *torch.autograd.grad(y, inputs, weights)]


def check(shape, units, layout, gelu, dtypes, offset=0.7, bound=None):
    inputs = inputs_of(shape, units, layout, dtypes, offset)
    exact = [t.detach().double().requires_grad_() for t in inputs]
    truth = results_of(plain, exact, gelu, upstream=dtypes[1])
    mine = results_of(kernel, inputs, gelu)
    assert [t.dtype for t in mine] == [dtypes[1], *(t.dtype for t in inputs)]
    for one, true in zip(mine, truth):
        assert_alike(one, true, bound or BOUNDS[dtypes[1]])


@pytest.mark.parametrize(('shape', 'units', 'layout', 'gelu'), CASES)
def test_equals_its_twin(shape, units, layout, gelu):
    check(shape, units, layout, gelu, (torch.float32,) * 2)


@pytest.mark.parametrize('dtypes', DTYPES)
def test_equals_its_twin_in_other_dtypes(dtypes):
    check(*CASES[0].values, dtypes)


@slow
@pytest.mark.parametrize('dtypes', DTYPES)
@pytest.mark.parametrize(('shape', 'units', 'layout', 'gelu'), CASES[1:])
def test_every_case_in_other_dtypes(shape, units, layout, gelu, dtypes):
    check(shape, units, layout, gelu, dtypes)


@pytest.mark.parametrize('product', [torch.float32, *HALVES])
def test_far_from_zero(product):
    """At a ratio of mean to deviation of 33 a folded norm in half precision would lose digits."""
    single = product == torch.float32
    shape = (1, 6, 3, 5)
    check(shape, 5, 'channels_last', False, (torch.float32, product), 50, 1e-5 if single else None)


def test_takes_no_float64():
    with pytest.raises(ValueError, match='takes no float64'):
        kernel(*inputs_of((1, 2, 2, 3), dtypes=(torch.float64,) * 2))


@pytest.mark.parametrize('layout', ['contiguous', 'strided'])
def test_results_are_channels_last(layout):
    y, dx, *_ = results_of(kernel, inputs_of((2, 3, 2, 5), layout=layout))
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in (y, dx))


@slow
@on_gpu
@pytest.mark.parametrize('strides', [(2**31, 6, 3, 1), (1, 2**31, 3, 1), (1, 2, 8, 2**30 + 1)])
def test_offsets_past_32_bits(strides):
    far = torch.empty(2**31 + 2**30, dtype=torch.float16, device=DEVICE)
    shape = (2, 2, 2, 3) if strides[0] > 1 else (1, 2, 2, 3)
    x, *others = inputs_of(shape, dtypes=(torch.float16,) * 2)
    inputs = [far.as_strided(shape, strides).copy_(x.detach()).requires_grad_(), *others]
    truth = results_of(plain, [t.detach().double().requires_grad_() for t in inputs])
    for mine, true in zip(results_of(kernel, inputs), truth):
        assert_alike(mine, true, BOUNDS[torch.float16])


def test_same_inputs_same_bits_and_under_checkpointing():
    inputs = inputs_of((1, 3, 2, 5))
    first = results_of(kernel, inputs)
    again = results_of(lambda *t, **s: checkpoint(kernel, *t, use_reentrant=False, **s), inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, again))


@pytest.mark.parametrize(
    'part',
    [
        *('test_schema', 'test_autograd_registration', 'test_faketensor'),
        pytest.param('test_aot_dispatch_dynamic', marks=slow),
    ],
)
def test_registration_is_sound(part):
    inputs = inputs_of((1, 2, 2, 3))
    torch.library.opcheck(triton_norm_linear, (*inputs, EPS, True), test_utils=part)


@slow
def test_compiles_whole_and_not_for_each_size():
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend('aot_eager')
    graph = torch.compile(kernel, backend=counter, fullgraph=True)
    for size in ((2, 4), (3, 6), (4, 3)):
        inputs = inputs_of((1, 3, *size))
        assert torch.equal(graph(*inputs), kernel(*inputs))
    assert counter.frame_count <= 2


def test_a_map_nobody_asks_of_has_no_gradient():
    x, *others = inputs_of((1, 2, 2, 3))
    (kernel(x, *others).detach() + 0 * others[0].sum()).sum().backward()
    assert x.grad is None and others[0].grad.abs().sum() == 0
