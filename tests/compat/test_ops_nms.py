"""nms, softnms and nms_match, as called through ``mmcv.ops``."""

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, nms, nms_match, soft_nms
from torch import Tensor

from mmplugin.compat import mmcv_ext
from mmplugin.compat.mmcv_ext.precision import as_float32

_METHODS = ('naive', 'linear', 'gaussian')


def _boxes(count: int, rng: torch.Generator, size: float = 60.0) -> Tensor:
    corner = torch.rand(count, 2, generator=rng) * size
    return torch.cat((corner, corner + torch.rand(count, 2, generator=rng) * 40), dim=1)


def _iou(a: list[float], b: list[float], offset: int) -> float:
    def area(box):
        return (box[2] - box[0] + offset) * (box[3] - box[1] + offset)

    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    union = area(a) + area(b) - width * height
    return width * height / union if union else float('nan')


def _greedy(boxes: Tensor, order: list[int], threshold: float, offset: int) -> list[int]:
    kept: list[int] = []
    for i in order:
        ious = [_iou(boxes[k].tolist(), boxes[i].tolist(), offset) for k in kept]
        if not any(iou > threshold for iou in ious):
            kept.append(i)
    return kept


def test_nms_equals_compiled_bit_for_bit(compiled_all):
    for case in compiled_all.cases('nms'):
        keep = mmcv_ext.nms(case['boxes'], case['scores'], case['iou_threshold'], case['offset'])
        assert keep.dtype == torch.int64
        assert torch.equal(keep, case['keep'])


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_nms_equals_greedy_search(dtype, offset, rng):
    boxes, scores = _boxes(60, rng).to(dtype), torch.rand(60, generator=rng).to(dtype)
    # tied scores, whose order is the library's sort
    scores = (scores * 8).round() / 8
    dets, keep = nms(boxes, scores, 0.4, offset=offset)
    order = scores.sort(0, descending=True)[1].tolist()
    assert keep.tolist() == _greedy(boxes.double(), order, 0.4, offset)
    assert dets.dtype == dtype
    assert torch.equal(dets, torch.cat((boxes[keep], scores[keep, None]), 1))


def test_nms_threshold_is_a_float32():
    # overlaps of exactly 3/10: not above 0.3 in fp32, above 0.3 as a double
    boxes = torch.tensor([[0.0, 0, 10, 1], [0, 0, 3, 1]])
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.3)[1].tolist() == [0, 1]
    assert nms(boxes, torch.tensor([0.9, 0.8]), 0.29)[1].tolist() == [0]


@pytest.mark.parametrize('number', [0.3, 0.5, 0.7, 1 / 3, 1e-8, 0.0, 1.0, -0.1])
def test_as_float32(number):
    assert as_float32(number) == float(np.float32(number))


def test_nms_keeps_boxes_of_no_area():
    boxes = torch.tensor([[5.0, 5, 5, 5]]).repeat(3, 1)
    assert nms(boxes, torch.tensor([0.1, 0.3, 0.2]), 0.5)[1].tolist() == [1, 2, 0]


def test_nms_of_nothing():
    dets, keep = nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5)
    assert keep.shape == (0,)
    assert keep.dtype == torch.int64


def test_nms_filters_limits_and_takes_numpy(rng):
    boxes, scores = _boxes(40, rng), torch.rand(40, generator=rng)
    dets, keep = nms(boxes, scores, 0.3, score_threshold=0.2, max_num=5)
    everything = nms(boxes, scores, 0.3)[1]
    assert keep.tolist() == everything[scores[everything] > 0.2][:5].tolist()
    as_numpy = nms(boxes.numpy(), scores.numpy(), 0.3, score_threshold=0.2, max_num=5)
    np.testing.assert_array_equal(as_numpy[0], dets.numpy())


def test_batched_nms_separates_classes(rng):
    boxes, scores = _boxes(80, rng), torch.rand(80, generator=rng)
    labels = torch.randint(0, 3, (80,), generator=rng)
    dets, keep = batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.4))
    order = scores.sort(0, descending=True)[1].tolist()
    expected = []
    for c in range(3):
        expected += _greedy(boxes.double(), [i for i in order if labels[i] == c], 0.4, 0)
    assert sorted(keep.tolist()) == sorted(expected)
    assert torch.equal(dets[:, 4], scores[keep])


def test_softnms_equals_compiled(compiled_all):
    for case in compiled_all.cases('softnms'):
        dets = torch.full((case['boxes'].size(0), 5), -1.0)
        arguments = (0.3, 0.5, 0.05, case['method'], case['offset'])
        inds = mmcv_ext.softnms(case['boxes'], case['scores'], dets, *arguments)
        assert torch.equal(inds, case['inds'])
        torch.testing.assert_close(dets[: inds.numel()], case['dets'], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('method', _METHODS)
def test_soft_nms_through_mmcv(method, rng):
    boxes, scores = _boxes(50, rng), torch.rand(50, generator=rng)
    dets, inds = soft_nms(boxes.requires_grad_(), scores, 0.3, 0.5, 0.05, method)
    assert torch.equal(dets[:, :4], boxes[inds])
    assert (dets[:, 4] <= scores[inds]).all()
    assert (dets[:-1, 4] >= dets[1:, 4]).all()
    half = soft_nms(boxes.detach().half(), scores.half(), 0.3, 0.5, 0.05, method)
    assert half[0].dtype == torch.float16


def test_naive_soft_nms_is_nms(rng):
    boxes, scores = _boxes(50, rng), torch.rand(50, generator=rng)
    inds = soft_nms(boxes, scores, 0.4, min_score=1e-6, method='naive')[1]
    assert inds.tolist() == nms(boxes, scores, 0.4)[1].tolist()


def test_softnms_survives_nothing_and_no_area():
    dets, inds = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert (dets.shape, inds.shape) == ((0, 5), (0,))
    boxes = torch.tensor([[5.0, 5, 5, 5]]).repeat(3, 1)
    for method in _METHODS:
        assert soft_nms(boxes, torch.tensor([0.1, 0.3, 0.2]), method=method)[1].numel() == 3


def test_softnms_refuses_an_unknown_method():
    with pytest.raises(ValueError, match='method'):
        mmcv_ext.softnms(torch.zeros(1, 4), torch.zeros(1), torch.zeros(1, 5), 0.3, 0.5, 0.0, 3, 0)


def _match_by_force(dets: Tensor, threshold: float) -> list[list[int]]:
    order = dets[:, 4].sort(0, descending=True)[1].tolist()
    boxes, groups = dets[:, :4].tolist(), []
    while order:
        head = order.pop(0)
        group = [i for i in order if _iou(boxes[head], boxes[i], 0) >= threshold]
        order = [i for i in order if i not in group]
        groups.append([head, *group])
    return groups


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
def test_nms_match_equals_brute_force(dtype, rng):
    scores = (torch.rand(70, 1, generator=rng) * 10).round() / 10
    dets = torch.cat((_boxes(70, rng), scores), dim=1).to(dtype)
    matched = nms_match(dets, 0.35)
    assert [group.tolist() for group in matched] == _match_by_force(dets.double(), 0.35)
    as_numpy = nms_match(dets.float().numpy(), 0.35)
    assert [group.tolist() for group in as_numpy] == [group.tolist() for group in matched]


def test_nms_match_equals_compiled(compiled):
    for case in compiled.cases('nms_match'):
        expected = [part.tolist() for part in case['order'].split(case['sizes'].tolist())]
        assert mmcv_ext.nms_match(case['dets'], case['iou_threshold']) == expected


def test_nms_match_joins_at_the_threshold():
    dets = torch.tensor([[0.0, 0, 4, 1, 0.9], [0, 0, 2, 1, 0.8], [9, 9, 9, 9, 0.7]])
    assert [g.tolist() for g in nms_match(dets, 0.5)] == [[0, 1], [2]]
    assert nms_match(torch.zeros(0, 5), 0.5) == []
