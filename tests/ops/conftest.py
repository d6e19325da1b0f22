"""Triton where it is installed, and its compiler, which needs no GPU."""

from types import SimpleNamespace

import pytest

from tests.ops.triton_tools import INTERPRETED, replace_kernels


@pytest.fixture
def triton():
    return pytest.importorskip('triton')


@pytest.fixture
def compiled(triton, monkeypatch, tmp_path):
    """(architecture) -> a dict that fills with the launched kernels, compiled instead of run."""
    from triton.backends.compiler import GPUTarget

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))

    def start(architecture: int) -> dict:
        driver = SimpleNamespace(
            get_current_target=lambda: GPUTarget('cuda', architecture, 32),
            get_current_device=lambda: f'compiler for {architecture}',  # the key of Triton's caches
            get_current_stream=lambda device: 0,
        )
        monkeypatch.setattr(triton.runtime.driver, '_active', driver)
        programs = {}

        def warm_up(kernel, grid, args, constants):
            programs[kernel.__name__] = kernel.warmup(*args, grid=grid, **constants)

        replace_kernels(monkeypatch, warm_up)
        return programs

    return start


@pytest.fixture(autouse=INTERPRETED)
def bfloat16_products(monkeypatch):
    """Triton 3.7's interpreter holds bfloat16 as integers, and would multiply those."""
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    def widened(matrix):
        if matrix.dtype.scalar != tl.bfloat16:
            return matrix
        return TensorHandle((matrix.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    multiply = InterpreterBuilder.create_dot
    monkeypatch.setattr(
        InterpreterBuilder,
        'create_dot',
        lambda self, a, b, *args: multiply(self, widened(a), widened(b), *args),
    )
