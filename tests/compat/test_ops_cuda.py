"""Every operator gives on the GPU what it gives on the CPU."""

import pytest
import torch
from mmcv.ops import (
    batched_nms,
    deform_conv2d,
    modulated_deform_conv2d,
    nms,
    roi_align,
    roi_pool,
    sigmoid_focal_loss,
    soft_nms,
)
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _cuda():
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')


def _boxes(count, rng):
    corner = torch.rand(count, 2, generator=rng) * 100
    return torch.cat((corner, corner + torch.rand(count, 2, generator=rng) * 60 + 1), dim=1)


def _rois(count, rng):
    return torch.cat((torch.arange(count)[:, None] % 2, _boxes(count, rng)), dim=1)


def _both(function, floats, *rest, rtol=1e-4, atol=1e-4):
    """Output and gradients of ``function(*floats, *rest)`` on both devices, compared."""
    results = []
    for device in ('cpu', 'cuda'):
        leaves = [t.to(device, copy=True).requires_grad_() for t in floats]
        others = [t.to(device) if isinstance(t, torch.Tensor) else t for t in rest]
        out = function(*leaves, *others)
        weight = torch.linspace(-1, 1, out.numel()).view(out.shape).to(out)
        grads = torch.autograd.grad(out, leaves, weight)
        results.append([t.detach().cpu() for t in (out, *grads)])
    for mine, expected in zip(results[1], results[0]):
        torch.testing.assert_close(mine, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize('offset', [0, 1])
def test_nms(offset, rng):
    boxes, scores = _boxes(300, rng), torch.rand(300, generator=rng)
    labels = torch.randint(0, 4, (300,), generator=rng)
    setting = dict(type='nms', iou_threshold=0.5)
    cuda = [t.cuda() for t in (boxes, scores, labels)]
    assert torch.equal(
        nms(*cuda[:2], 0.5, offset=offset)[1].cpu(), nms(boxes, scores, 0.5, offset=offset)[1]
    )
    assert torch.equal(
        batched_nms(*cuda, setting)[1].cpu(), batched_nms(boxes, scores, labels, setting)[1]
    )
    assert torch.equal(soft_nms(*cuda[:2])[1].cpu(), soft_nms(boxes, scores)[1])
    assert nms(cuda[0][:0], cuda[1][:0], 0.5)[1].numel() == 0


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('deterministic', [False, True])
def test_roi_align(mode, deterministic, rng):
    x, rois = torch.rand(2, 4, 24, 24, generator=rng), _rois(20, rng)
    torch.use_deterministic_algorithms(deterministic)
    try:
        _both(roi_align, [x], rois, (5, 5), 0.125, 0, mode, True)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align_in_half_formats(dtype, rng):
    x, rois = torch.rand(2, 4, 24, 24, generator=rng).to(dtype), _rois(20, rng).to(dtype)
    near = 4 * torch.finfo(dtype).eps
    _both(roi_align, [x], rois, (5, 5), 0.125, 2, 'avg', True, rtol=near, atol=near)


def test_roi_pool(rng):
    _both(roi_pool, [torch.rand(2, 4, 24, 24, generator=rng)], _rois(20, rng), 5, 0.125)


def test_focal(rng):
    logit, target = torch.randn(64, 8, generator=rng) * 5, torch.arange(64) % 10 - 1
    _both(sigmoid_focal_loss, [logit], target, 2.0, 0.25, None, 'none')


def test_ms_deform_attn(rng):
    shapes, starts = torch.tensor([[8, 6], [4, 3]]), torch.tensor([0, 48])
    value = torch.randn(2, 60, 4, 8, generator=rng)
    location = torch.rand(2, 9, 4, 2, 3, 2, generator=rng) * 1.4 - 0.2
    weight = torch.rand(2, 9, 4, 2, 3, generator=rng)

    def attend(value, location, weight, shapes, starts):
        return MultiScaleDeformableAttnFunction.apply(value, shapes, starts, location, weight, 64)

    _both(attend, [value, location, weight], shapes, starts, atol=1e-3)


def test_deform_convs(rng):
    x, weight = torch.randn(2, 4, 9, 9, generator=rng), torch.randn(6, 4, 3, 3, generator=rng)
    offset = torch.randn(2, 18, 9, 9, generator=rng)
    mask, bias = torch.rand(2, 9, 9, 9, generator=rng), torch.rand(6, generator=rng)
    _both(deform_conv2d, [x, offset, weight], 1, 1, atol=1e-3)
    _both(modulated_deform_conv2d, [x, offset, mask, weight, bias], 1, 1, atol=1e-3)
