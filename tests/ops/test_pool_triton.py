"""The Triton token half: its checks in processes of their own, its compilation, its wiring."""

import logging
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from torch._subclasses.fake_tensor import FakeTensorMode

import mmplugin.ops
from mmplugin.backbones import PoolFormer
from mmplugin.ops import pool_triton
from mmplugin.ops.paths import path_of
from tests.compat.environments import run_python
from tests.families import TINY
from tests.ops.pool_triton_checks import Calls

slow = pytest.mark.slow


@pytest.fixture
def triton():
    return pytest.importorskip('triton')


def run_checks(marker: str, **environ: str) -> None:
    """Run pool_triton_checks.py in a fresh process; its report is the message of a failure."""
    options = ('-p', 'no:cacheprovider', '-p', 'no:xdist', '--tb=short', '-m', marker)
    run = run_python('-m', 'pytest', *options, 'tests/ops/pool_triton_checks.py', **environ)
    if run.returncode:
        pytest.fail(run.stdout[-20000:] + run.stderr[-2000:], pytrace=False)


@pytest.mark.parametrize('marker', ['not slow', pytest.param('slow', marks=slow)])
def test_interpreted_on_the_cpu(marker, triton):
    run_checks(marker, TRITON_INTERPRET='1', CUDA_VISIBLE_DEVICES='')


@pytest.mark.gpu
@pytest.mark.parametrize('marker', ['not slow', pytest.param('slow', marks=slow)])
def test_on_the_gpu(marker, triton):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    run_checks(marker, TRITON_INTERPRET='0')


# Triton's compiler needs no GPU -----------------------------------------------------------------


@pytest.fixture
def compiled(triton, monkeypatch, tmp_path):
    """(architecture) -> a dict that fills with the launched kernels, compiled instead of run."""
    from triton.backends.compiler import GPUTarget

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    kernels = pool_triton.load_kernels()

    def start(architecture: int) -> dict:
        triton.runtime.driver.set_active(
            SimpleNamespace(
                get_current_target=lambda: GPUTarget('cuda', architecture, 32),
                get_current_device=lambda: architecture,
                get_current_stream=lambda device: 0,
            )
        )
        programs = {}

        class Kernel:
            def __init__(self, name):
                self.name = name

            def __getitem__(self, grid):
                return lambda *args, **constants: programs.update(
                    {self.name: getattr(kernels, self.name).warmup(*args, grid=grid, **constants)}
                )

        names = 'part_moments', 'whole_moments', 'mix', 'part_correlation', 'spread'
        stand_in = SimpleNamespace(tl=kernels.tl, **{name: Kernel(name) for name in names})
        monkeypatch.setattr(pool_triton, 'load_kernels', lambda: stand_in)
        return programs

    yield start
    triton.runtime.driver.reset_active()


@pytest.mark.parametrize(
    ('architecture', 'dtype', 'layout'),
    [
        (90, torch.float16, torch.channels_last),
        pytest.param(90, torch.float64, torch.channels_last, marks=slow),
        pytest.param(90, torch.float32, torch.contiguous_format, marks=slow),
        pytest.param(80, torch.bfloat16, torch.contiguous_format, marks=slow),
        pytest.param(80, torch.float32, torch.channels_last, marks=slow),
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


# wiring -----------------------------------------------------------------------------------------


def test_who_takes_it():
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
    """Shapes, layouts and calls, on tensors without memory; no GPU takes part."""
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
            for layout in (torch.contiguous_format, torch.channels_last):
                x = torch.empty(2, 3, 65, 97, device='cuda').contiguous(memory_format=layout)
                for y in model(x):
                    assert y.is_contiguous(memory_format=layout)
    finally:
        logger.removeHandler(handler)
    used = [name for name in calls.names if name.startswith('mmplugin::')]
    assert used == ['mmplugin::triton_norm_pool_residual'] * 2 * sum(TINY['depths'])
    (message,) = (m for m in messages if 'operations' in m)
    assert 'Triton (token halves) and unfused operations (cuda, torch.float32)' in message


def test_on_the_cpu_it_is_the_same_as_true():
    x = torch.zeros(1, 3, 64, 64)
    models = [PoolFormer(arch=TINY, fast=fast).eval() for fast in ('triton', True)]
    models[1].load_state_dict(models[0].state_dict())
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(*(model(x) for model in models)))


def test_without_triton(monkeypatch):
    monkeypatch.setitem(sys.modules, 'triton', None)
    monkeypatch.delitem(sys.modules, 'mmplugin.ops.pool_triton_kernels', raising=False)
    monkeypatch.delattr(mmplugin.ops, 'pool_triton_kernels', raising=False)
    x, gain = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2)
    with pytest.raises(RuntimeError, match="fast='triton' needs the package triton"):
        pool_triton.triton_norm_pool_residual(x, gain, 3, 1e-5)
