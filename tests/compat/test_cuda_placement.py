"""Where the operators put and read tensors for a GPU, without one: placement and type, no results.

Results on a real GPU are the business of ``test_ops_cuda``.
"""

import numpy as np
import pytest
import torch
from mmcv.ops import (
    batched_nms,
    deform_conv2d,
    modulated_deform_conv2d,
    nms,
    nms_match,
    roi_align,
    roi_pool,
    sigmoid_focal_loss,
    soft_nms,
)
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

from mmplugin.compat import mmcv_ext
from tests.pretended_gpu import CUDA, PretendedGPU

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
ROIS = torch.tensor([[0.0, 3, 4, 60, 50], [1, 10, 10, 100, 120], [0, 5, 6, 7, 9]])


@pytest.fixture
def gpu():
    with PretendedGPU() as mode:
        yield mode


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def _run(function, floats, *rest, dtype=torch.float32, device='cpu'):
    """Output and gradients of ``function(*floats, *rest)`` on a device."""
    leaves = [t.to(dtype).to(device, copy=True).requires_grad_() for t in floats]
    others = [t.to(device) if isinstance(t, torch.Tensor) else t for t in rest]
    out = function(*leaves, *others)
    return [out, *torch.autograd.grad(out.float().sum(), leaves)]


def _check(gpu, function, floats, *rest, dtype=torch.float32):
    """Everything lies on the GPU in its input's type, with the values of the CPU's own run."""
    placed = _run(function, floats, *rest, dtype=dtype, device='cuda')
    plain = _run(function, floats, *rest, dtype=dtype)
    for mine, expected in zip(placed, plain):
        assert (mine.device, mine.dtype) == (CUDA, dtype)
        torch.testing.assert_close(mine.detach().cpu(), expected.detach())
    _only_full_precision(gpu)


def _only_full_precision(gpu):
    """torchvision's CUDA kernels lack bfloat16, and fp16 loses coordinates."""
    for name, dtypes in gpu.calls:
        if name.startswith('torchvision::'):
            assert set(dtypes) == {torch.float32}, name


def test_the_pretended_gpu_refuses_what_a_gpu_refuses(gpu):
    here = torch.arange(3.0, device='cuda')
    assert (here + 1).device == (here + torch.tensor(1)).device == CUDA
    with pytest.raises(RuntimeError, match='same device'):
        here + torch.ones(3)
    with pytest.raises(RuntimeError, match='same device'):
        torch.stack((here, torch.ones(3)))
    with pytest.raises((RuntimeError, TypeError), match='numpy'):
        here.numpy()
    assert here.nonzero().cpu().tolist() == [[1], [2]]
    with gpu.autocast(torch.bfloat16):
        assert torch.outer(here, here).dtype == torch.float32
        assert torch.mm(here[None], here[:, None]).dtype == torch.bfloat16


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('offset', [0, 1])
def test_nms(gpu, dtype, offset, rng):
    corner = torch.rand(40, 2, generator=rng) * 50
    boxes = torch.cat((corner, corner + torch.rand(40, 2, generator=rng) * 40 + 1), 1).to(dtype)
    scores, labels = torch.rand(40, generator=rng).to(dtype), torch.arange(40) % 3
    setting = dict(type='nms', iou_threshold=0.5)
    on_gpu = [t.to('cuda') for t in (boxes, scores, labels)]
    for run, count in (
        (lambda b, s: nms(b, s, 0.5, offset=offset), 2),
        (lambda b, s: nms(b, s, 0.5, offset=offset, score_threshold=0.3, max_num=9), 2),
        (soft_nms, 2),
        (lambda b, s, i: batched_nms(b, s, i, setting), 3),
    ):
        mine, expected = run(*on_gpu[:count]), run(*(boxes, scores, labels)[:count])
        assert all(t.device == CUDA for t in mine)
        assert torch.equal(mine[1].cpu(), expected[1])
        assert mine[0].dtype == expected[0].dtype
    groups = nms_match(torch.cat((on_gpu[0], on_gpu[1][:, None]), 1), 0.5)
    assert all(group.device == CUDA for group in groups)
    # mmcv hands this one CPU tensors only; a caller of the binary module may not
    mmcv_ext.nms_match(torch.cat((on_gpu[0], on_gpu[1][:, None]), 1), 0.5)
    assert nms(on_gpu[0][:0], on_gpu[1][:0], 0.5)[1].device == CUDA
    _only_full_precision(gpu)


@pytest.mark.parametrize(
    ('mode', 'dtype'), [('max', torch.bfloat16), *(('avg', d) for d in DTYPES)]
)
def test_roi_align(gpu, mode, dtype, rng):
    x, rois = torch.rand(2, 3, 12, 12, generator=rng), ROIS.to(dtype)
    _check(gpu, roi_align, [x], rois, (3, 2), 0.125, 1, mode, True, dtype=dtype)
    _check(gpu, roi_align, [x], rois[:0], (3, 2), 0.125, 0, mode, False, dtype=dtype)


def test_roi_align_in_deterministic_mode(gpu, deterministic, rng):
    x = torch.rand(2, 3, 12, 12, generator=rng)
    _check(gpu, roi_align, [x], ROIS, (3, 2), 0.125, 1, 'avg', True)


@pytest.mark.parametrize('dtype', DTYPES)
def test_roi_pool(gpu, dtype, rng):
    x = torch.rand(2, 3, 12, 12, generator=rng)
    _check(gpu, roi_pool, [x], ROIS.to(dtype), 5, 0.125, dtype=dtype)
    _check(gpu, roi_pool, [x], ROIS[:0].to(dtype), 5, 0.125, dtype=dtype)


@pytest.mark.parametrize(
    'mode', [None, *(pytest.param(mode, marks=pytest.mark.slow) for mode in ('avg', 'max'))]
)
def test_windows_of_whole_pixels(gpu, deterministic, mode, rng):
    """21 / 7 is 3; 21 times the rounded 1 / 7, as CUDA divides by a number, is a little more."""
    x, end = torch.rand(1, 1, 24, 24, generator=rng), 21.0 if mode else 20.0
    rois = torch.tensor([[0, 0, 0, end, end]])
    if mode:
        _check(gpu, roi_align, [x], rois, 7, 1.0, 0, mode, False)
    else:
        _check(gpu, roi_pool, [x], rois, 7, 1.0)


@pytest.mark.parametrize('dtype', DTYPES)
def test_focal(gpu, dtype, rng):
    logit, target = torch.randn(9, 4, generator=rng), torch.arange(9) % 6 - 1
    for weight in (None, torch.rand(4, generator=rng).to(dtype)):
        _check(gpu, sigmoid_focal_loss, [logit], target, 2.0, 0.25, weight, 'none', dtype=dtype)


@pytest.mark.parametrize('dtype', DTYPES)
def test_ms_deform_attn(gpu, dtype, rng):
    def attend(value, location, weight, shapes, starts):
        return MultiScaleDeformableAttnFunction.apply(value, shapes, starts, location, weight, 64)

    floats = [
        torch.randn(2, 60, 4, 8, generator=rng),
        torch.rand(2, 9, 4, 2, 3, 2, generator=rng),
        torch.rand(2, 9, 4, 2, 3, generator=rng),
    ]
    shapes, starts = torch.tensor([[8, 6], [4, 3]]), torch.tensor([0, 48])
    _check(gpu, attend, floats, shapes, starts, dtype=dtype)
    sampling = [dtypes for name, dtypes in gpu.calls if 'grid_sampler' in name]
    assert sampling and all(set(dtypes) == {torch.float32} for dtypes in sampling)


@pytest.mark.parametrize('dtype', DTYPES)
def test_deform_convs(gpu, dtype, rng):
    x, weight = torch.randn(2, 4, 9, 9, generator=rng), torch.randn(6, 4, 3, 3, generator=rng)
    offset = torch.randn(2, 18, 9, 9, generator=rng)
    mask, bias = torch.rand(2, 9, 9, 9, generator=rng), torch.rand(6, generator=rng)
    _check(gpu, deform_conv2d, [x, offset, weight], 1, 1, dtype=dtype)
    _check(gpu, modulated_deform_conv2d, [x, offset, mask, weight, bias], 1, 1, dtype=dtype)


@pytest.mark.parametrize('dtype', DTYPES[1:])
def test_autocast(gpu, dtype, rng):
    x = torch.rand(2, 4, 24, 24, generator=rng).to('cuda')
    rois, kernel = ROIS.to('cuda'), torch.rand(4, 4, 1, 1, generator=rng).to('cuda')
    with gpu.autocast(dtype):
        y = torch.nn.functional.conv2d(x, kernel)
        assert y.dtype == dtype
        assert roi_align(y, rois, 5, 0.125).dtype == dtype
        assert roi_pool(y, rois, 5, 0.125).dtype == dtype
        target = torch.tensor([0, 4], device='cuda')
        assert sigmoid_focal_loss(y[:, :4, 0, 0], target).isfinite().cpu()
        boxes, scores = rois[:, 1:], torch.rand(3, generator=rng).to('cuda').to(dtype)
        assert nms(boxes, scores, 0.5)[1].device == CUDA
    _only_full_precision(gpu)


def test_numpy_boxes_stay_numpy(gpu):
    boxes = ROIS[:, 1:].numpy()
    kept, order = nms(boxes, np.array([0.3, 0.9, 0.5], dtype=np.float32), 0.5)
    assert isinstance(kept, np.ndarray) and order[0] == 1
