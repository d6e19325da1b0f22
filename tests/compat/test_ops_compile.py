"""nms and RoIAlign inside torch.compile and torch.export, as called through ``mmcv.ops``."""

import pytest
import torch
from mmcv.ops import RoIAlign, batched_nms, nms
from torch import nn

_BACKENDS = ['eager', 'aot_eager']


@pytest.fixture(autouse=True)
def fresh_compiler():
    """Forget earlier traces, so that no test meets another's recompile limit."""
    torch.compiler.reset()


def _detections(count: int, rng: torch.Generator):
    corner = torch.rand(count, 2, generator=rng) * 50
    boxes = torch.cat((corner, corner + torch.rand(count, 2, generator=rng) * 40), dim=1)
    return boxes, torch.rand(count, generator=rng)


def _suppress(boxes, scores):
    dets, keep = nms(boxes * 2, scores, 0.4, offset=1)
    return dets + 0, keep


class _Align(nn.Module):
    def __init__(self):
        super().__init__()
        self.align = RoIAlign(3, 0.125, 2)

    def forward(self, x, rois):
        return self.align(x * 2, rois)


class _Suppress(nn.Module):
    def forward(self, boxes, scores):
        return _suppress(boxes, scores)


def _feature_and_rois(rng: torch.Generator):
    boxes, _ = _detections(5, rng)
    return torch.rand(2, 3, 12, 12, generator=rng), torch.cat(
        (torch.arange(5)[:, None] % 2, boxes), dim=1
    )


@pytest.mark.parametrize('backend', _BACKENDS)
def test_compiled_nms(backend, rng):
    compiled = torch.compile(_suppress, fullgraph=True, backend=backend)
    for count in (30, 41, 7):
        boxes, scores = _detections(count, rng)
        for mine, expected in zip(compiled(boxes, scores), _suppress(boxes, scores)):
            assert torch.equal(mine, expected)


@pytest.mark.parametrize('backend', _BACKENDS)
def test_compiled_batched_nms(backend, rng):
    boxes, scores = _detections(30, rng)
    labels = torch.randint(0, 3, (30,), generator=rng)
    setting = dict(type='nms', iou_threshold=0.4)
    compiled = torch.compile(batched_nms, backend=backend)
    for mine, expected in zip(
        compiled(boxes, scores, labels, setting), batched_nms(boxes, scores, labels, setting)
    ):
        assert torch.equal(mine, expected)


@pytest.mark.parametrize('backend', _BACKENDS)
def test_compiled_roi_align_forward_and_backward(backend, rng):
    x, rois = _feature_and_rois(rng)
    compiled = torch.compile(_Align(), fullgraph=True, backend=backend)
    results = []
    for module in (compiled, _Align()):
        leaf = x.clone().requires_grad_()
        out = module(leaf, rois)
        out.square().sum().backward()
        results.append((out.detach(), leaf.grad))
    for mine, expected in zip(*results):
        torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-6)


def test_exported_nms(rng):
    boxes, scores = _detections(30, rng)
    count = torch.export.Dim('count', min=2, max=1000)
    program = torch.export.export(
        _Suppress(), (boxes, scores), dynamic_shapes=({0: count}, {0: count})
    )
    for number in (30, 55):
        boxes, scores = _detections(number, rng)
        for mine, expected in zip(program.module()(boxes, scores), _suppress(boxes, scores)):
            assert torch.equal(mine, expected)
    assert 'torchvision.nms' in str(program.graph)


def test_exported_roi_align(rng):
    x, rois = _feature_and_rois(rng)
    program = torch.export.export(_Align().eval(), (x, rois))
    assert torch.equal(program.module()(x, rois), _Align()(x, rois))
    assert 'torchvision.roi_align' in str(program.graph)
