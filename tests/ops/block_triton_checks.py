"""The block on the Triton path against the plain one: run by test_norm_linear_triton.py."""

import pytest
import torch

import mmplugin.backbones.poolformer
from mmplugin.backbones.poolformer import PoolFormerBlock
from mmplugin.ops.paths import path_of
from mmplugin.ops.recompute import recomputed
from tests.ops.triton_tools import DEVICE, assert_alike
from tests.tensors import image, randomise

slow = pytest.mark.slow


@pytest.fixture
def on_any_device(monkeypatch):
    """The block takes the kernels for maps on the CPU, too."""

    def path(fast, *tensors):
        return 'triton' if fast == 'triton' else path_of(fast, *tensors)

    monkeypatch.setattr(mmplugin.backbones.poolformer, 'path_of', path)


@pytest.mark.parametrize('autocast', [pytest.param(False, marks=slow), True])
def test_block_under_checkpointing_and_autocast(autocast, on_any_device):
    results = []
    for fast in ('triton', False):
        block = randomise(PoolFormerBlock(4, 2, 0.5, 1e-5, 3, fast).to(DEVICE))
        x = image(3, 4, 2, 5, dtype=torch.float32).to(DEVICE).requires_grad_()
        torch.manual_seed(5)  # of drop path
        with torch.autocast(DEVICE, torch.bfloat16, enabled=autocast):
            y = recomputed(block, x)
        y.square().sum().backward()
        results.append([y, x.grad, *(p.grad for p in block.parameters() if p.requires_grad)])
    for mine, other in zip(*results):
        assert mine.dtype == other.dtype
        assert_alike(mine, other, 0.02 if autocast else 1e-5)


@pytest.mark.parametrize('deploy', [pytest.param(False, marks=slow), True])
def test_block_at_inference(deploy, on_any_device):
    outputs = []
    for fast in ('triton', False):
        block = randomise(PoolFormerBlock(4, 2, 0.0, 1e-5, 3, fast).to(DEVICE)).eval()
        if deploy:
            block.deploy()
        with torch.no_grad():
            outputs.append(block(image(1, 4, 4, 5, dtype=torch.float32).to(DEVICE)))
    assert_alike(*outputs, 1e-5)
