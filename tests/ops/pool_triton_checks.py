"""The Triton token half against its plain twin: run by test_pool_triton.py."""

import pytest
import torch
import torch._dynamo.testing
from torch.utils.checkpoint import checkpoint

from mmplugin.ops.pool_residual import norm_pool_residual
from mmplugin.ops.pool_triton import triton_norm_pool_residual
from tests.ops.triton_tools import BOUNDS, DEVICE, assert_alike, laid_out, on_gpu
from tests.tensors import image

EPS = 1e-5

slow = pytest.mark.slow

# batch, channels, height, width; pool size; rows of the gain; layout
CASES = [
    pytest.param((1, 3, 5, 3), 5, 1, 'strided', id='wide-window'),
    pytest.param((3, 5, 3, 7), 3, 3, 'channels_last', id='odd'),
    pytest.param((1, 3, 9, 6), 3, 1, 'contiguous', id='two-strips'),
    pytest.param((1, 2, 1, 1), 3, 1, 'contiguous', id='one-cell'),
    pytest.param((2, 3, 1, 4), 1, 2, 'transposed', id='no-window', marks=slow),
    pytest.param((0, 3, 4, 4), 3, 1, 'contiguous', id='no-sample'),
    pytest.param((2, 70, 9, 5), 3, 2, 'channels_last', id='channel-blocks', marks=slow),
    pytest.param((1, 20, 17, 70), 5, 1, 'contiguous', id='column-blocks', marks=slow),
    pytest.param((2, 64, 9, 33), 3, 1, 'channels_last', id='every-block', marks=slow),
    pytest.param((2, 64, 200, 336), 3, 2, 'channels_last', id='stage-1', marks=on_gpu),
    pytest.param((2, 320, 50, 84), 3, 2, 'contiguous', id='stage-3', marks=on_gpu),
    pytest.param((1, 512, 25, 42), 7, 1, 'contiguous', id='stage-4', marks=on_gpu),
]


def inputs_of(shape, rows=1, layout='contiguous', dtype=torch.float64, offset=0.7):
    x = (image(*shape) * 1.5 + offset).to(DEVICE, dtype)
    gain = image(rows, shape[1], seed=3).to(DEVICE, dtype)
    return laid_out(x, layout).requires_grad_(), gain.requires_grad_()


def kernels(x, gain, pool_size=3):
    return triton_norm_pool_residual(x, gain, pool_size, EPS)[0]


def plain(x, gain, pool_size=3):
    return norm_pool_residual(x, gain[:, :, None, None], pool_size, EPS)


def results_of(form, x, gain, *args):
    """The result and both gradients, of an upstream gradient in a layout of its own."""
    y = form(x, gain, *args)
    weights = image(*y.shape, seed=2).to(y).mT.contiguous().mT
    return [y, *torch.autograd.grad(y, (x, gain), weights)]


def truth_of(x, gain, *args):
    return results_of(plain, *(t.detach().double().requires_grad_() for t in (x, gain)), *args)


@pytest.mark.parametrize(('shape', 'pool_size', 'rows', 'layout'), CASES)
def test_equals_its_twin(shape, pool_size, rows, layout):
    check(shape, pool_size, rows, layout, torch.float32)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
def test_equals_its_twin_in_other_dtypes(dtype):
    check(*CASES[0].values, dtype)


@slow
@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(('shape', 'pool_size', 'rows', 'layout'), CASES[1:])
def test_every_case_in_other_dtypes(shape, pool_size, rows, layout, dtype):
    check(shape, pool_size, rows, layout, dtype)


def check(shape, pool_size, rows, layout, dtype):
    inputs = inputs_of(shape, rows, layout, dtype)
    for mine, true in zip(results_of(kernels, *inputs, pool_size), truth_of(*inputs, pool_size)):
        assert mine.dtype == dtype
        assert_alike(mine, true, BOUNDS[dtype])


@pytest.mark.parametrize(
    ('map_dtype', 'gain_dtype'),
    [
        (torch.bfloat16, torch.float32),
        pytest.param(torch.float32, torch.float16, marks=slow),
    ],
)
def test_dtypes_promote_as_in_the_twin(map_dtype, gain_dtype):
    x, gain = inputs_of((1, 3, 4, 5))
    inputs = [t.detach().to(d).requires_grad_() for t, d in ((x, map_dtype), (gain, gain_dtype))]
    mine = results_of(kernels, *inputs)
    assert [t.dtype for t in mine] == [plain(*inputs).dtype, map_dtype, gain_dtype]
    for one, true in zip(mine, truth_of(*inputs)):
        assert_alike(one, true, BOUNDS[one.dtype])


@pytest.mark.parametrize('ratio', [pytest.param(33, marks=slow), 333])
def test_single_precision_far_from_zero(ratio):
    """No worse than storing the result: the mean, many deviations off zero, is taken out first."""
    x, gain = inputs_of((1, 3, 5, 7), dtype=torch.float32, offset=1.5 * ratio)
    mine, true = results_of(kernels, x, gain), truth_of(x, gain)
    assert (mine[0] - true[0]).abs().max() < 6e-8 * true[0].abs().max() + 2e-6
    for one, exact in zip(mine[1:], true[1:]):
        assert_alike(one, exact, 2e-6)


def test_half_precision_subtracts_before_it_rounds():
    x, gain = inputs_of((2, 3, 5, 4), offset=30)
    x = x.detach().bfloat16()
    exact, gain = gain.detach(), gain.detach().float()
    assert_alike(kernels(x, gain), plain(x.double(), exact), 1e-6)


@pytest.mark.parametrize('layout', ['channels_last', 'strided'])
def test_keeps_the_layout(layout):
    x, gain = inputs_of((1, 3, 2, 5), layout=layout)
    y, dx, _ = results_of(kernels, x, gain)
    assert y.stride() == dx.stride() == torch.empty_like(x).stride()


@slow
@on_gpu
@pytest.mark.parametrize('strides', [(2**31, 6, 3, 1), (1, 2**31, 3, 1), (1, 2, 8, 2**30 + 1)])
def test_offsets_past_32_bits(strides):
    far = torch.empty(2**31 + 2**30, dtype=torch.float16, device=DEVICE)
    shape = (2, 2, 2, 3) if strides[0] > 1 else (1, 2, 2, 3)
    x, gain = inputs_of(shape, dtype=torch.float16)
    x = far.as_strided(shape, strides).copy_(x.detach()).requires_grad_()
    for mine, true in zip(results_of(kernels, x, gain), truth_of(x, gain)):
        assert_alike(mine, true, BOUNDS[torch.float16])


def test_same_inputs_same_bits_and_under_checkpointing():
    inputs = inputs_of((1, 3, 2, 5), dtype=torch.float32)
    first = results_of(kernels, *inputs)
    again = results_of(lambda *t: checkpoint(kernels, *t, use_reentrant=False), *inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, again))


@pytest.mark.parametrize(
    'part',
    [
        *('test_schema', 'test_autograd_registration', 'test_faketensor'),
        pytest.param('test_aot_dispatch_dynamic', marks=slow),
    ],
)
def test_registration_is_sound(part):
    inputs = inputs_of((1, 2, 2, 3), layout='channels_last')
    torch.library.opcheck(triton_norm_pool_residual, (*inputs, 3, EPS), test_utils=part)


@slow
def test_gradient_is_that_of_finite_differences():
    assert torch.autograd.gradcheck(kernels, inputs_of((2, 2, 2, 3), rows=2))


@slow
def test_compiles_whole_and_not_for_each_size():
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend('aot_eager')
    graph = torch.compile(kernels, backend=counter, fullgraph=True)
    for size in ((2, 4), (3, 6), (4, 3)):
        inputs = inputs_of((1, 3, *size), dtype=torch.float32)
        assert torch.equal(graph(*inputs), kernels(*inputs))
    assert counter.frame_count <= 2


def test_a_map_nobody_asks_of_has_no_gradient():
    x, gain = inputs_of((1, 2, 2, 3))
    (kernels(x, gain).detach() + 0 * gain.sum()).sum().backward()
    assert x.grad is None and gain.grad.abs().sum() == 0
