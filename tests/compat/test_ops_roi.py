"""RoIAlign (average and maximum) and RoIPool, as called through ``mmcv.ops``."""

import math

import pytest
import torch
from mmcv.ops import RoIAlign, RoIPool, roi_align, roi_pool
from torch import Tensor

from mmplugin.compat import mmcv_ext
from mmplugin.compat.mmcv_ext import roi_align as roi_align_module
from mmplugin.compat.mmcv_ext import roi_sampling
from mmplugin.compat.mmcv_ext.roi_sampling import avg_backward_by_products


def _rois(count: int, rng: torch.Generator, images: int = 2, size: float = 80.0) -> Tensor:
    """Windows (count, 5) in a size x size image, some reaching outside."""
    corner = torch.rand(count, 2, generator=rng) * size - 8
    extent = torch.rand(count, 2, generator=rng) * size * 0.7
    image = torch.arange(count)[:, None] % images
    return torch.cat((image, corner, corner + extent), dim=1)


def _sample(plane: Tensor, y: float, x: float) -> Tensor:
    """One bilinear sample by RoIAlign's rules; differentiable in ``plane`` (h, w)."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return plane.sum() * 0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    down, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = y - top, x - left
    upper = plane[top, left] * (1 - fx) + plane[top, right] * fx
    lower = plane[down, left] * (1 - fx) + plane[down, right] * fx
    return upper * (1 - fy) + lower * fy


def _align_by_loops(x: Tensor, rois: Tensor, bins: int, scale: float, ratio: int, aligned: bool):
    """Lists of samples per output cell, (k, c, bins, bins, samples) nested."""
    shift = 0.5 if aligned else 0.0
    for roi in rois.tolist():
        x1, y1, x2, y2 = (v * scale - shift for v in roi[1:])
        w, h = x2 - x1, y2 - y1
        if not aligned:
            w, h = max(w, 1.0), max(h, 1.0)
        rows = ratio if ratio > 0 else math.ceil(h / bins)
        columns = ratio if ratio > 0 else math.ceil(w / bins)
        for plane in x[int(roi[0])]:
            for i in range(bins):
                for j in range(bins):
                    yield [
                        _sample(
                            plane,
                            y1 + (i + (a + 0.5) / rows) * h / bins,
                            x1 + (j + (b + 0.5) / columns) * w / bins,
                        )
                        for a in range(rows)
                        for b in range(columns)
                    ]


@pytest.fixture(params=['kernel', 'products'])
def backward_by(request, monkeypatch):
    """Force one of the two gradients of the average."""
    cost = 0 if request.param == 'kernel' else float('inf')
    monkeypatch.setattr(roi_align_module, '_PIXELS_PER_SAMPLE', cost)
    return request.param


def test_roi_align_equals_compiled(compiled_all, backward_by):
    for case in compiled_all.cases('roi_align'):
        x = case['input'].clone().requires_grad_()
        settings = (case['spatial_scale'], case['sampling_ratio'], 'avg', case['aligned'])
        out = roi_align(x, case['rois'], (7, 7), *settings)
        out.backward(case['grad_output'])
        assert torch.equal(out, case['output'])
        if backward_by == 'kernel':
            assert torch.equal(x.grad, case['grad_input'])
        torch.testing.assert_close(x.grad, case['grad_input'], rtol=1e-5, atol=1e-5)


def test_max_roi_align_equals_compiled(compiled):
    for case in compiled.cases('roi_align_max'):
        out, at_y, at_x = (torch.zeros_like(case['output']) for _ in range(3))
        grad_input = torch.zeros_like(case['input'])
        settings = (4, 4, case['spatial_scale'], case['sampling_ratio'], 0, case['aligned'])
        mmcv_ext.roi_align_forward(case['input'], case['rois'], out, at_y, at_x, *settings)
        grad = (case['grad_output'], case['rois'], at_y, at_x, grad_input)
        mmcv_ext.roi_align_backward(*grad, *settings)
        torch.testing.assert_close(out, case['output'], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(at_y, case['argmax_y'], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(at_x, case['argmax_x'], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(grad_input, case['grad_input'], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.usefixtures('backward_by')
def test_roi_align_equals_loops(mode, ratio, aligned, rng):
    x = torch.rand(2, 2, 9, 11, generator=rng, dtype=torch.float64).requires_grad_()
    rois = _rois(5, rng).double()
    grad = torch.rand(5, 2, 3, 3, generator=rng, dtype=torch.float64)
    out = roi_align(x, rois, 3, 0.125, ratio, mode, aligned)
    (by_op,) = torch.autograd.grad(out, x, grad)

    reduce = torch.Tensor.mean if mode == 'avg' else torch.Tensor.max
    cells = _align_by_loops(x, rois, 3, 0.125, ratio, aligned)
    expected = torch.stack([reduce(torch.stack(s)) for s in cells]).view(5, 2, 3, 3)
    (by_loops,) = torch.autograd.grad(expected, x, grad)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(by_op, by_loops, rtol=1e-12, atol=1e-12)


def test_max_mode_reports_the_winning_sample():
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 5, 2] = 1.0
    out, at_y, at_x = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    rois = torch.tensor([[0.0, 0, 0, 8, 8]])
    mmcv_ext.roi_align_forward(x, rois, out, at_y, at_x, 1, 1, 1.0, 8, 0, True)
    assert (out.item(), at_y.item(), at_x.item()) == (1.0, 5.0, 2.0)


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('piece', [1, 2**22])
def test_gradient_by_products_equals_the_kernel(piece, ratio, aligned, rng, monkeypatch):
    monkeypatch.setattr(roi_sampling, '_PIECE', piece)
    rois = _rois(12, rng, images=3, size=160.0).double()
    grad = torch.rand(12, 3, 5, 7, generator=rng, dtype=torch.float64)
    shape = (4, 3, 20, 24)  # no window lies in the last image
    by_kernel = torch.ops.torchvision._roi_align_backward(
        grad, rois, 0.125, 5, 7, *shape, ratio, aligned
    )
    same = avg_backward_by_products(grad, rois, 0.125, 5, 7, ratio, aligned, shape)
    torch.testing.assert_close(same, by_kernel, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ('size', 'ratio', 'calls'), [((24, 24), 1, 1), ((50, 76), 0, 1), ((200, 304), 2, 0)]
)
def test_small_maps_take_the_products(size, ratio, calls, rng, monkeypatch):
    taken = []
    monkeypatch.setattr(
        roi_align_module,
        'avg_backward_by_products',
        lambda *args: taken.append(args) or avg_backward_by_products(*args),
    )
    x = torch.rand(1, 2, *size, generator=rng, requires_grad=True)
    roi_align(x, _rois(3, rng, images=1), 7, 0.25, ratio, 'avg', True).sum().backward()
    assert len(taken) == calls


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_in_half_formats(mode, dtype, rng):
    x = torch.rand(2, 3, 12, 12, generator=rng).to(dtype).requires_grad_()
    rois = _rois(6, rng).to(dtype)
    out = RoIAlign(4, 0.125, 2, mode)(x, rois)
    out.sum().backward()
    wide = x.detach().float().requires_grad_()
    expected = RoIAlign(4, 0.125, 2, mode)(wide, rois.float())
    expected.sum().backward()
    assert out.dtype == x.grad.dtype == dtype
    assert torch.equal(out, expected.to(dtype))
    if mode == 'avg':  # in max mode the winning coordinates are stored in the half format
        assert torch.equal(x.grad, wide.grad.to(dtype))


@pytest.mark.usefixtures('backward_by')
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_of_no_windows(mode):
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    out = roi_align(x, torch.zeros(0, 5), (2, 2), 1.0, 0, mode, True)
    assert out.shape == (0, 3, 2, 2)
    out.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.usefixtures('backward_by')
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_windows_without_samples_are_zero(mode):
    x = torch.full((1, 1, 8, 8), -3.0, requires_grad=True)
    rois = torch.tensor([[0.0, 4, 4, 4, 4], [0, 6, 6, 2, 2]])
    out = roi_align(x, rois, (2, 2), 1.0, 0, mode, True)
    out.sum().backward()
    assert torch.equal(out, torch.zeros_like(out))
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_roi_align_works_in_deterministic_mode(rng):
    x, rois = torch.rand(2, 3, 12, 12, generator=rng), _rois(6, rng)
    torch.use_deterministic_algorithms(True)
    try:
        for mode in ('avg', 'max'):
            leaf = x.clone().requires_grad_()
            roi_align(leaf, rois, (3, 3), 0.125, 0, mode, True).sum().backward()
            assert leaf.grad.abs().sum() > 0
    finally:
        torch.use_deterministic_algorithms(False)


def test_roi_align_refuses_an_unknown_mode():
    empty = torch.zeros(0)
    with pytest.raises(ValueError, match='pool_mode'):
        mmcv_ext.roi_align_forward(
            torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), empty, empty, empty, 2, 2, 1.0, 0, 2, True
        )


def _pool_by_loops(x: Tensor, rois: Tensor, bins: int, scale: float) -> Tensor:
    cells = []
    for roi in rois.tolist():
        x1, y1 = roi[1] * scale, roi[2] * scale
        w, h = (roi[3] + 1) * scale - x1, (roi[4] + 1) * scale - y1
        for plane in x[int(roi[0])]:
            for i in range(bins):
                for j in range(bins):
                    top, bottom = math.floor(i * h / bins + y1), math.ceil((i + 1) * h / bins + y1)
                    left, right = math.floor(j * w / bins + x1), math.ceil((j + 1) * w / bins + x1)
                    window = plane[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
                    empty = window.numel() == 0 or w <= 0 or h <= 0
                    cells.append(plane.sum() * 0 if empty else window.max())
    return torch.stack(cells).view(len(rois), x.size(1), bins, bins)


def test_roi_pool_equals_loops(rng):
    x = torch.randn(2, 2, 10, 13, generator=rng, dtype=torch.float64).requires_grad_()
    rois = _rois(8, rng).double()
    rois[-1, 3:] = rois[-1, 1:3] - 20  # turned inside out
    grad = torch.rand(8, 2, 3, 3, generator=rng, dtype=torch.float64)
    out = roi_pool(x, rois, 3, 0.125)
    (by_op,) = torch.autograd.grad(out, x, grad)
    expected = _pool_by_loops(x, rois, 3, 0.125)
    (by_loops,) = torch.autograd.grad(expected, x, grad)
    assert torch.equal(out, expected)
    torch.testing.assert_close(by_op, by_loops, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_roi_pool_formats_and_no_windows(dtype, rng):
    x = torch.rand(1, 2, 8, 8, generator=rng).to(dtype).requires_grad_()
    out = RoIPool(2)(x, torch.tensor([[0, 1, 1, 6, 6]], dtype=dtype))
    out.sum().backward()
    assert out.dtype == dtype
    assert torch.equal(out[0, :, 0, 0], x[0, :, 1:4, 1:4].amax((1, 2)))
    assert x.grad.sum() == 8
    assert RoIPool(2)(x, torch.zeros(0, 5, dtype=dtype)).shape == (0, 2, 2, 2)
