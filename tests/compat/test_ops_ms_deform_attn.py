"""Multi-scale deformable attention against mmcv's own plain PyTorch function."""

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from torch import Tensor

_SHAPES = torch.tensor([[6, 5], [3, 4], [1, 2]])
_STARTS = torch.tensor([0, 30, 42])


def _problem(rng: torch.Generator, batch: int = 2, queries: int = 7) -> list[Tensor]:
    """Value, locations (some outside) and weights with 2 heads, 4 channels, 3 points."""
    value = torch.randn(batch, 44, 2, 4, generator=rng, dtype=torch.float64)
    location = torch.rand(batch, queries, 2, 3, 3, 2, generator=rng, dtype=torch.float64)
    weight = torch.rand(batch, queries, 2, 3, 3, generator=rng, dtype=torch.float64)
    return [t.requires_grad_() for t in (value, location * 1.4 - 0.2, weight)]


def _attend(value: Tensor, location: Tensor, weight: Tensor, step: int = 64) -> Tensor:
    return MultiScaleDeformableAttnFunction.apply(value, _SHAPES, _STARTS, location, weight, step)


def test_equals_mmcv_forward_and_backward(rng):
    inputs = _problem(rng)
    out = _attend(*inputs)
    expected = multi_scale_deformable_attn_pytorch(inputs[0], _SHAPES, *inputs[1:])
    grad = torch.randn(out.shape, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    assert out.is_contiguous()
    for mine, theirs in zip(
        torch.autograd.grad(out, inputs, grad), torch.autograd.grad(expected, inputs, grad)
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_gradcheck(rng):
    assert torch.autograd.gradcheck(_attend, _problem(rng, batch=1, queries=2))


def test_levels_are_taken_where_they_start(rng):
    value, location, weight = _problem(rng)
    expected = _attend(value, location, weight)
    levels = value.split([30, 12, 2], dim=1)
    moved = torch.cat((levels[2], levels[0], levels[1]), dim=1)
    starts = torch.tensor([2, 32, 0])
    out = MultiScaleDeformableAttnFunction.apply(moved, _SHAPES, starts, location, weight, 64)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_number_formats(dtype, rng):
    inputs = [t.detach().to(dtype).requires_grad_() for t in _problem(rng)]
    wide = [t.detach().double().requires_grad_() for t in inputs]
    out, expected = _attend(*inputs), _attend(*wide)
    grads = torch.autograd.grad(out.sum(), inputs)
    wide_grads = torch.autograd.grad(expected.sum(), wide)
    assert out.dtype == dtype
    # two roundings: the fp32 computation and the result
    near = dict(rtol=2 * torch.finfo(dtype).eps, atol=2e-5)
    torch.testing.assert_close(out.double(), expected, **near)
    for grad, wide_grad in zip(grads, wide_grads):
        assert grad.dtype == dtype
        torch.testing.assert_close(grad.double(), wide_grad, **near)


def test_no_queries(rng):
    inputs = _problem(rng, queries=0)
    out = _attend(*inputs)
    assert out.shape == (2, 0, 8)
    grads = torch.autograd.grad(out.sum(), inputs)
    assert not grads[0].any()


def test_batch_must_fit_the_step(rng):
    inputs = _problem(rng, batch=3)
    assert _attend(*inputs, 3).shape == (3, 7, 8)
    with pytest.raises(ValueError, match=r'batch \(3\) must be divisible by im2col_step \(2\)'):
        _attend(*inputs, 2)
