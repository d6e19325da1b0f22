"""The Triton token half: its checks in processes of their own, its compilation, its wiring."""

import logging
import sys

import pytest
import torch
from mmengine.logging import MMLogger
from torch._subclasses.fake_tensor import FakeTensorMode

from mmplugin.backbones import PoolFormer
from mmplugin.ops import maps_triton, pool_triton
from mmplugin.ops.paths import path_of
from tests.families import TINY
from tests.ops.triton_tools import Calls, by_speed, replace_kernels, run_interpreted, run_on_gpu

slow = pytest.mark.slow

CHECKS = 'pool_triton_checks.py'


@by_speed
def test_interpreted_on_the_cpu(marker, triton):
    run_interpreted(marker, CHECKS)


@pytest.mark.gpu
@by_speed
def test_on_the_gpu(marker, triton):
    run_on_gpu(marker, CHECKS)


@slow
@pytest.mark.parametrize(
    ('architecture', 'dtype', 'layout'),
    [
        (90, torch.float16, torch.channels_last),
        (90, torch.float64, torch.channels_last),
        (90, torch.float32, torch.contiguous_format),
        (80, torch.bfloat16, torch.contiguous_format),
        (80, torch.float32, torch.channels_last),
    ],
)
def test_compiles_for_gpus(architecture, dtype, layout, compiled):
    programs = compiled(architecture)
    x = torch.empty(2, 64, 20, 28, dtype=dtype).contiguous(memory_format=layout)
    gain = torch.empty(1, 64, dtype=dtype)
    y, moments = pool_triton.run_triton_norm_pool_residual(x, gain, 3, 1e-5)
    pool_triton.triton_norm_pool_residual_backward(y, x, gain, moments, 3)
    assert len(programs) == 5 and all(p.asm['cubin'] for p in programs.values())
    if layout == torch.channels_last:  # 16 bytes a thread at once
        assert '.v4.b32' in programs['mix'].asm['ptx'] or '.v2.b64' in programs['mix'].asm['ptx']


LAYOUTS = {
    'contiguous': lambda x: x,
    'channels_last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'strided': lambda x: x[:, ::2, ::2],
    'transposed': lambda x: x.mT,
}


@pytest.mark.parametrize('layout', LAYOUTS)
def test_no_map_is_copied(layout, triton, monkeypatch):
    """Between the kernels, which are left out here, nothing but small sums."""
    replace_kernels(monkeypatch, lambda *launch: None)
    x, gain = LAYOUTS[layout](torch.zeros(2, 6, 8, 10)).half(), torch.zeros(1, 6).half()
    with Calls() as calls:
        y, moments = pool_triton.run_triton_norm_pool_residual(x, gain, 3, 1e-5)
        dx, _ = pool_triton.triton_norm_pool_residual_backward(y, x, gain, moments, 3)
    assert y.stride() == dx.stride() == torch.empty_like(x).stride()
    called = [name.removeprefix('aten::') for name in calls.names if name.startswith('aten::')]
    assert set(called) <= {
        *('promote_types', 'empty_like', 'new_empty', 'sum', 'slice', 'mul', '_to_copy')
    }
    assert called.count('_to_copy') <= 1  # of the gain's gradient


@pytest.mark.parametrize(
    ('shape', 'strides', 'wide'),
    [
        ((1, 64, 200, 336), (64 * 200 * 336, 200 * 336, 336, 1), False),
        ((40, 64, 1000, 1000), (64 * 10**6, 10**6, 1000, 1), False),
        ((1, 3, 2, 2), (0, 2**30, 2, 1), True),
        ((1, 2, 2, 2**16), (0, 1, 2, 2**15 + 1), True),
    ],
)
def test_offsets_past_32_bits_inside_a_sample(shape, strides, wide, triton):
    """Samples and rows always have 64 bits."""
    x = torch.empty(1, device='meta').as_strided(shape, strides)
    kernels = maps_triton.load_kernels('maps')
    _, constants = maps_triton.tiling(kernels, x.dtype, x)
    assert constants['INDEX'] == (kernels.tl.int64 if wide else kernels.tl.int32)


def test_who_takes_it(small_maps_fused):
    with FakeTensorMode():
        cpu, cuda = torch.empty(1, 2, 99, 99), torch.empty(1, 2, 99, 99, device='cuda')
        assert [path_of(fast, cuda) for fast in (True, False, 'triton')] == [
            'unfused',
            'plain',
            'triton',
        ]
        assert [path_of(fast, cpu) for fast in (True, False, 'triton')] == [
            'fused',
            'plain',
            'fused',
        ]


def test_backbone_on_cuda_runs_it_in_every_block():
    """Calls and shapes, on tensors without memory; no GPU takes part."""
    with torch.device('meta'):
        model = PoolFormer(arch=TINY, fast='triton', drop_path_rate=0.3)
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), Calls() as calls:
            model.to_empty(device='cuda')
            outputs = model(torch.empty(2, 3, 65, 97, device='cuda'))
    finally:
        logger.removeHandler(handler)
    assert [y.shape[1:] for y in outputs] == [(8, 16, 24), (16, 8, 12), (24, 4, 6), (32, 2, 3)]
    used = [name for name in calls.names if name.startswith('mmplugin::')]
    halves = ['mmplugin::triton_norm_pool_residual', 'mmplugin::triton_norm_linear']
    assert used == halves * sum(TINY['depths'])
    (message,) = (m for m in messages if 'operations' in m)
    assert 'Triton and unfused, channels_last operations (cuda, torch.float32)' in message


def test_backbone_on_cuda_copies_maps_at_its_border_alone():
    with torch.device('meta'):
        model = PoolFormer(arch=TINY, fast='triton')
    with FakeTensorMode(allow_non_fake_inputs=True), Calls() as calls:
        model.to_empty(device='cuda')
        calls.names.clear()
        outputs = model(torch.empty(2, 3, 65, 97, device='cuda'))
    assert all(y.is_contiguous() for y in outputs)
    assert calls.names.count('aten::clone') == 1 + len(outputs)
    assert not {'aten::_to_copy', 'aten::copy_'} & set(calls.names)


def test_on_the_cpu_it_is_the_same_as_true():
    x = torch.zeros(1, 3, 64, 64)
    models = [PoolFormer(arch=TINY, fast=fast).eval() for fast in ('triton', True)]
    models[1].load_state_dict(models[0].state_dict())
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(*(model(x) for model in models)))


def test_without_triton(monkeypatch):
    monkeypatch.setitem(sys.modules, 'triton', None)
    monkeypatch.delitem(sys.modules, 'mmplugin.ops.pool_triton_kernels', raising=False)
    x, gain = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2)
    with pytest.raises(RuntimeError, match="fast='triton' needs the package triton"):
        pool_triton.triton_norm_pool_residual(x, gain, 3, 1e-5)
