"""Sigmoid focal loss against its definition, by fp64 autograd."""

import pytest
import torch
from mmcv.ops import SigmoidFocalLoss, sigmoid_focal_loss
from torch import Tensor

from mmplugin.compat import mmcv_ext


def _by_definition(logit: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """-alpha_t (1 - p_t)^gamma log p_t with a background column that is thrown away."""
    classes = logit.size(1)
    column = torch.where((target < 0) | (target >= classes), classes, target)
    one_hot = torch.eye(classes + 1, dtype=logit.dtype)[column, :classes]
    p = 1 / (1 + (-logit).exp())
    p_t = p * one_hot + (1 - p) * (1 - one_hot)
    alpha_t = alpha * one_hot + (1 - alpha) * (1 - one_hot)
    return -alpha_t * (1 - p_t) ** gamma * p_t.log()


def _problem(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    logit = torch.randn(20, 5, generator=rng, dtype=torch.float64) * 3
    target = torch.arange(20) % 7 - 1  # -1 and 5 are background
    return logit.requires_grad_(), target


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (1.5, 0.6), (0.0, 0.5)])
def test_focal_equals_its_definition(gamma, alpha, rng):
    logit, target = _problem(rng)
    loss = sigmoid_focal_loss(logit, target, gamma, alpha, None, 'sum')
    (grad,) = torch.autograd.grad(loss, logit)
    expected = _by_definition(logit, target, gamma, alpha)
    (expected_grad,) = torch.autograd.grad(expected.sum(), logit)
    torch.testing.assert_close(loss, expected.sum(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-10, atol=1e-12)


def test_focal_weight_is_by_target_and_background_has_one(rng):
    logit, target = _problem(rng)
    weight = torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0], dtype=torch.float64)
    rows = torch.tensor([1.0 if t in (-1, 5) else weight[t].item() for t in target.tolist()])
    loss = sigmoid_focal_loss(logit, target, 2.0, 0.25, weight, 'none')
    assert loss.shape == (20, 5)
    expected = _by_definition(logit, target, 2.0, 0.25) * rows[:, None].double()
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    mean = SigmoidFocalLoss(2.0, 0.25, weight, 'mean')(logit, target)
    (grad,) = torch.autograd.grad(mean, logit)
    (expected_grad,) = torch.autograd.grad(expected.sum() / 20, logit)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-10, atol=1e-12)


def test_focal_far_out_keeps_growing_and_stays_finite():
    logit = torch.tensor([[-120.0], [120.0], [-120.0], [120.0]], requires_grad=True)
    target = torch.tensor([0, 0, 1, 1])
    loss = sigmoid_focal_loss(logit, target, 2.0, 0.25, None, 'none')
    (grad,) = torch.autograd.grad(loss, logit, torch.ones_like(loss))
    torch.testing.assert_close(loss.flatten(), torch.tensor([30.0, 0, 0, 90]))
    torch.testing.assert_close(grad.flatten(), torch.tensor([-0.25, 0, 0, 0.75]))


def test_focal_gradient_equals_the_compiled_formula(rng):
    logit, target = torch.randn(50, 4, generator=rng) * 6, torch.arange(50) % 5
    grad = torch.empty_like(logit)
    mmcv_ext.sigmoid_focal_loss_backward(logit, target, logit.new_empty(0), grad, 2.0, 0.25)
    p, tiny = 1 / (1 + (-logit).exp()), torch.finfo(torch.float32).tiny
    positive = -0.25 * (1 - p) ** 2 * (1 - p - 2 * p * p.clamp(min=tiny).log())
    negative = -0.75 * p**2 * (2 * (1 - p) * (1 - p).clamp(min=tiny).log() - p)
    expected = torch.where(target[:, None] == torch.arange(4), positive, negative)
    torch.testing.assert_close(grad, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_focal_in_half_formats(dtype, rng):
    logit = (torch.randn(12, 4, generator=rng) * 8).to(dtype).requires_grad_()
    target = torch.arange(12) % 5
    loss = sigmoid_focal_loss(logit, target, 2.0, 0.25, None, 'none')
    (grad,) = torch.autograd.grad(loss, logit, torch.ones_like(loss))
    wide = logit.detach().float().requires_grad_()
    expected = sigmoid_focal_loss(wide, target, 2.0, 0.25, None, 'none')
    (expected_grad,) = torch.autograd.grad(expected, wide, torch.ones_like(expected))
    assert torch.equal(loss, expected.to(dtype))
    assert torch.equal(grad, expected_grad.to(dtype))


def test_focal_of_nothing():
    logit = torch.zeros(0, 4, requires_grad=True)
    loss = sigmoid_focal_loss(logit, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss == 0
    assert logit.grad.shape == (0, 4)
