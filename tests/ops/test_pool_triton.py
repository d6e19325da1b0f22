"""The Triton token half: its checks in processes of their own, its compilation, its wiring."""

import logging
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import mmplugin.ops
from mmplugin.backbones import PoolFormer
from mmplugin.ops import pool_triton
from mmplugin.ops.paths import path_of
from tests.compat.environments import run_python
from tests.families import TINY

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


def stand_in(launch, tl) -> SimpleNamespace:
    """What to launch instead of the kernels: a function (name, grid, arguments, constants)."""

    class Kernel:
        def __init__(self, name):
            self.name = name

        def __getitem__(self, grid):
            return lambda *args, **constants: launch(self.name, grid, args, constants)

    names = 'part_moments', 'whole_moments', 'mix', 'part_correlation', 'spread'
    return SimpleNamespace(tl=tl, **{name: Kernel(name) for name in names})


@pytest.fixture
def compiled(triton, monkeypatch, tmp_path):
    """(architecture) -> a dict that fills with the launched kernels, compiled instead of run."""
    from triton.backends.compiler import GPUTarget

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    kernels = pool_triton.load_kernels()

    def start(architecture: int) -> dict:
        driver = SimpleNamespace(
            get_current_target=lambda: GPUTarget('cuda', architecture, 32),
            get_current_device=lambda: f'compiler for {architecture}',  # the key of Triton's caches
            get_current_stream=lambda device: 0,
        )
        monkeypatch.setattr(triton.runtime.driver, '_active', driver)
        programs = {}

        def warm_up(name, grid, args, constants):
            programs[name] = getattr(kernels, name).warmup(*args, grid=grid, **constants)

        monkeypatch.setattr(pool_triton, 'load_kernels', lambda: stand_in(warm_up, kernels.tl))
        return programs

    return start


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


# wiring -----------------------------------------------------------------------------------------


class Calls(TorchDispatchMode):
    """The names of the operations called inside."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function._schema.name)
        return function(*args, **(kwargs or {}))


LAYOUTS = {
    'contiguous': lambda x: x,
    'channels_last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'strided': lambda x: x[:, ::2, ::2],
    'transposed': lambda x: x.mT,
}


@pytest.mark.parametrize('layout', LAYOUTS)
def test_no_map_is_copied(layout, triton, monkeypatch):
    """Between the kernels, which are left out here, nothing but small sums."""
    tl = pool_triton.load_kernels().tl
    monkeypatch.setattr(pool_triton, 'load_kernels', lambda: stand_in(lambda *args: None, tl))
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
    kernels = pool_triton.load_kernels()
    _, constants = pool_triton.tiling(kernels, x.dtype, x)
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
    assert used == ['mmplugin::triton_norm_pool_residual'] * sum(TINY['depths'])
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
