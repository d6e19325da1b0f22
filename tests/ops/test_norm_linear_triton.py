"""The Triton norm and product, and blocks: checks in other processes, compilation, wiring."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import mmplugin.backbones.poolformer
from mmplugin.backbones.poolformer import PoolFormerBlock
from mmplugin.ops import norm_linear_triton
from tests.ops.triton_tools import Calls, by_speed, replace_kernels, run_interpreted, run_on_gpu

slow = pytest.mark.slow

CHECKS = 'norm_linear_triton_checks.py', 'block_triton_checks.py'


@by_speed
def test_interpreted_on_the_cpu(marker, triton):
    run_interpreted(marker, *CHECKS)


@pytest.mark.gpu
@by_speed
def test_on_the_gpu(marker, triton):
    run_on_gpu(marker, *CHECKS)


@slow
@pytest.mark.parametrize(
    ('architecture', 'dtype', 'product', 'layout'),
    [
        (90, torch.float32, torch.float16, torch.channels_last),
        (90, torch.bfloat16, torch.bfloat16, torch.contiguous_format),
        (90, torch.float32, torch.float32, torch.channels_last),
        (80, torch.float32, torch.bfloat16, torch.channels_last),
        (80, torch.float32, torch.float32, torch.contiguous_format),
    ],
)
def test_compiles_for_gpus(architecture, dtype, product, layout, compiled):
    programs = compiled(architecture)
    x = torch.empty(2, 64, 20, 28, dtype=dtype).contiguous(memory_format=layout)
    norm = (torch.empty(64, dtype=dtype) for _ in range(2))
    linear = torch.empty(256, 64, dtype=product), torch.empty(256, dtype=product)
    norm_linear_triton.run_triton_norm_linear(x, *norm, *linear, 1e-5, True)
    program = programs['norm_linear']
    assert program.asm['cubin'] and program.metadata.shared <= 99 * 1024  # that of an RTX 3090
    ptx = program.asm['ptx']
    assert ('mma' in ptx) == (product != torch.float32)  # tensor cores, but not in TF32
    assert '.v4.b32' in ptx  # 16 bytes a thread at once


def test_no_map_is_copied_forward(triton, monkeypatch):
    replace_kernels(monkeypatch, lambda *launch: None)
    x, c = torch.zeros(2, 6, 8, 10)[:, :, ::2], torch.zeros(6)
    arguments = x, c, c, torch.zeros(9, 6).half(), torch.zeros(9).half()
    with Calls() as calls:
        y, _ = norm_linear_triton.run_triton_norm_linear(*arguments, 1e-5, False)
    assert y.dtype == torch.float16 and y.is_contiguous(memory_format=torch.channels_last)
    assert not {'aten::_to_copy', 'aten::clone', 'aten::copy_'} & set(calls.names)


@pytest.mark.parametrize('gelu', [True, False])
def test_no_channels_last_map_is_copied_backward(gelu):
    x, grad = (
        torch.zeros(2, n, 8, 10).contiguous(memory_format=torch.channels_last) for n in (6, 9)
    )
    c, moments, linear = torch.zeros(6), torch.zeros(2, 2), (torch.zeros(9, 6), torch.zeros(9))
    with Calls() as calls:
        dx, *_ = norm_linear_triton.triton_norm_linear_backward(
            grad, x, c, c, *linear, moments, gelu
        )
    assert dx.is_contiguous(memory_format=torch.channels_last)
    assert not {'aten::_to_copy', 'aten::clone', 'aten::copy_'} & set(calls.names)


def test_no_map_is_copied_in_a_block_that_trains(triton, monkeypatch):
    replace_kernels(monkeypatch, lambda *launch: None)
    monkeypatch.setattr(mmplugin.backbones.poolformer, 'path_of', lambda *args: 'triton')
    x, grad = (torch.zeros(2, 8, 4, 6).contiguous(memory_format=torch.channels_last) for _ in '12')
    with Calls() as calls:
        block_of(8)(x.requires_grad_()).backward(grad)
    assert x.grad.is_contiguous(memory_format=torch.channels_last)
    assert 'mmplugin::triton_norm_linear_backward' in calls.names
    assert not {'aten::_to_copy', 'aten::clone', 'aten::copy_'} & set(calls.names)


def test_its_products_are_counted():
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        x, c = torch.zeros(2, 6, 8, 10, device='cuda'), torch.zeros(6, device='cuda')
        linear = torch.zeros(9, 6, device='cuda'), torch.zeros(9, device='cuda')
        norm_linear_triton.triton_norm_linear(x, c, c, *linear, 1e-5, True)
        counted = counter.get_total_flops()
        norm_linear_triton.plain_norm_linear(x, c, c, *linear, 1e-5, True)
    assert counter.get_total_flops() == 2 * counted > 0


@pytest.mark.parametrize(
    ('dtype', 'autocast', 'product'),
    [
        (torch.float32, False, torch.float32),
        (torch.float32, True, torch.bfloat16),
        (torch.float16, False, torch.float16),
    ],
)
def test_what_the_block_multiplies(dtype, autocast, product, triton, monkeypatch):
    replace_kernels(monkeypatch, lambda *launch: None)
    block = block_of(8).to(dtype)
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        assert block.triton_hidden(torch.zeros(2, 8, 4, 6, dtype=dtype)).dtype == product


@pytest.mark.parametrize(
    ('dim', 'grad', 'after'), [(128, True, 0), (160, True, 1), (160, False, 0)]
)
def test_wide_blocks_keep_what_gelu_takes(dim, grad, after, triton, monkeypatch):
    """In training; narrow ones, and all at inference, apply GELU in the kernel."""
    replace_kernels(monkeypatch, lambda *launch: None)
    with torch.set_grad_enabled(grad), Calls() as calls:
        block_of(dim).triton_hidden(torch.zeros(1, dim, 2, 3))
    assert calls.names.count('aten::gelu') == after


@pytest.mark.parametrize(('dtype', 'taken'), [(torch.float64, 0), (torch.float16, 1)])
def test_double_precision_stays_with_torch(dtype, taken):
    with torch.device('meta'):
        block = block_of(8).to(dtype)
    with FakeTensorMode(allow_non_fake_inputs=True), Calls() as calls:
        block.to_empty(device='cuda')
        x = torch.empty(2, 8, 4, 6, device='cuda', dtype=dtype)
        assert block.mix_channels(x).dtype == dtype
    assert calls.names.count('mmplugin::triton_norm_linear') == taken


def block_of(dim: int) -> PoolFormerBlock:
    return PoolFormerBlock(dim, 2, 0.0, 1e-5, 3, 'triton')
