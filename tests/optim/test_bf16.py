"""mmplugin.Bf16OptimWrapper: every head takes a step with it, from nearly the loss of float32."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from tests.configs.test_configs import TEMPLATES, build, name_of, one_batch, read, shrink


def step(path, kind):
    """One training step of a template's small model: the loss, and the model behind it."""
    torch.manual_seed(0)
    model = build(shrink(copy.deepcopy(read(path))), device='cpu').train()
    model.init_weights()
    optimizer = dict(type='AdamW', lr=1e-4)
    wrapper = build_optim_wrapper(model, dict(type=kind, optimizer=optimizer))
    torch.manual_seed(0)
    return float(model.train_step(one_batch(read(path)), wrapper)['loss']), model


@pytest.mark.slow
@pytest.mark.parametrize('path', TEMPLATES, ids=name_of)
def test_one_step(path):
    whole, _ = step(path, 'OptimWrapper')
    half, model = step(path, 'mmplugin.Bf16OptimWrapper')
    assert half == pytest.approx(whole, rel=0.05)  # other proposals may be sampled
    assert half != whole
    assert all(p.isfinite().all() for p in model.parameters())  # after the optimizer's step
    assert {p.dtype for p in model.parameters()} == {torch.float32}
