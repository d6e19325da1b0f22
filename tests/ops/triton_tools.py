"""What the tests of all Triton operations share.

Their comparisons with the plain twins lie in ``*_triton_checks.py``, which run in processes of
their own: with ``TRITON_INTERPRET=1``, which Triton reads while it is imported, on the CPU;
otherwise on the GPU. Interpreted maps are tiny, since every row of every program costs
milliseconds there.
"""

import os
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mmplugin.ops import maps_triton
from tests.compat.environments import run_python

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = 'cpu' if INTERPRETED else 'cuda'

# largest error over the largest value: a rounding or two in the dtype of the result
BOUNDS = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}

on_gpu = pytest.mark.skipif(INTERPRETED, reason='too much memory for the interpreter')

# the two runs of a file of checks
by_speed = pytest.mark.parametrize(
    'marker', ['not slow', pytest.param('slow', marks=pytest.mark.slow)]
)


def run_interpreted(marker: str, *checks: str) -> None:
    """Run files of this folder on the CPU; their report is the message of a failure."""
    run_checks(marker, checks, TRITON_INTERPRET='1', CUDA_VISIBLE_DEVICES='')


def run_on_gpu(marker: str, *checks: str) -> None:
    """The same on the GPU; skips where there is none."""
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    run_checks(marker, checks, TRITON_INTERPRET='0')


def run_checks(marker: str, checks: tuple[str, ...], **environ: str) -> None:
    options = ('-p', 'no:cacheprovider', '-p', 'no:xdist', '--tb=short', '-m', marker)
    files = (f'tests/ops/{name}' for name in checks)
    run = run_python('-m', 'pytest', *options, *files, **environ)
    if run.returncode:
        pytest.fail(run.stdout[-20000:] + run.stderr[-2000:], pytrace=False)


def replace_kernels(monkeypatch: pytest.MonkeyPatch, launch: Callable) -> None:
    """Call ``launch`` with a kernel, grid, arguments and constants wherever one is launched."""

    class Launcher:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, grid):
            return lambda *args, **constants: launch(self.kernel, grid, args, constants)

    load = maps_triton.load_kernels

    def load_launchers(operation: str) -> SimpleNamespace:
        kernels = load(operation)
        launchers = {k: Launcher(v) for k, v in vars(kernels).items() if hasattr(v, 'warmup')}
        return SimpleNamespace(tl=kernels.tl, **launchers)

    monkeypatch.setattr(maps_triton, 'load_kernels', load_launchers)


class Calls(TorchDispatchMode):
    """The names of the operations called inside."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function._schema.name)
        return function(*args, **(kwargs or {}))


def laid_out(x: Tensor, layout: str) -> Tensor:
    """The same map in another layout."""
    if layout == 'channels_last':
        return x.contiguous(memory_format=torch.channels_last)
    if layout == 'transposed':
        return x.mT.contiguous().mT
    if layout == 'strided':  # every second row and channel of a larger map
        larger = x.new_empty(x.shape[0], 2 * x.shape[1], 2 * x.shape[2], x.shape[3])
        return larger[:, ::2, ::2].copy_(x)
    return x.contiguous()


def assert_alike(mine: Tensor, true: Tensor, bound: float) -> None:
    """Their largest difference is at most ``bound`` of the largest value, or of 1."""
    assert mine.shape == true.shape
    if true.numel():
        assert (mine - true).abs().max() <= bound * true.abs().max().clamp_min(1)
