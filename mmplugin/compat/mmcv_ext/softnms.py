"""Soft non-maximum suppression: overlapped boxes lose score instead of being dropped at once."""

import numpy as np
import torch
from torch import Tensor

from mmplugin.compat.mmcv_ext.precision import widen

_NAIVE, _LINEAR, _GAUSSIAN = 0, 1, 2


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Rank the boxes, each lowering the scores of those it overlaps.

    Args:
        boxes: (n, 4) as x1, y1, x2, y2; n may be 0.
        scores: (n,).
        dets: (n, 5), written in place: the first m rows become box and lowered score.
        iou_threshold: least overlap at which methods 0 and 1 act.
        sigma: width of method 2.
        min_score: a box whose lowered score is below this is dropped.
        method: 0 sets the score to 0, 1 multiplies it by 1 - iou, 2 by exp(-iou² / sigma).
        offset: 0 or 1, added to every width and height.

    Returns:
        int64 (m,): indices of the remaining boxes in the order of their selection.

    Raises:
        ValueError: ``method`` is none of the three.
    """
    if method not in (_NAIVE, _LINEAR, _GAUSSIAN):
        raise ValueError(f'softnms method must be 0, 1 or 2, got {method}')
    x1, y1, x2, y2 = widen(boxes.detach()).cpu().numpy().T
    score = widen(scores.detach()).cpu().numpy()
    area = (x2 - x1 + offset) * (y2 - y1 + offset)
    # one column a box: x1, y1, x2, y2, score, area
    table = np.stack((x1, y1, x2, y2, score, area))
    index = np.arange(score.size, dtype=np.int64)
    left, current = score.size, 0
    while current < left:
        best = current + _first_best(table[4, current:left])
        table[:, [current, best]] = table[:, [best, current]]
        index[[current, best]] = index[[best, current]]
        others = table[:, current + 1 : left]
        iou = _overlaps(table[:, current], others, offset)
        others[4] *= _decay(iou, iou_threshold, sigma, method)
        dropped = others[4] < min_score
        _fill_gaps_from_the_end(others, index[current + 1 : left], dropped)
        left -= int(dropped.sum())
        current += 1
    dets[:left].copy_(torch.from_numpy(table[:5, :left].T))
    return torch.from_numpy(index[:left])


def _first_best(scores: np.ndarray) -> int:
    """Position of the first highest score; a NaN loses every comparison, as in C++."""
    return 0 if np.isnan(scores[0]) else int(np.nanargmax(scores))


def _overlaps(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    zero = box.dtype.type(0)
    width = np.minimum(box[2], others[2]) - np.maximum(box[0], others[0]) + offset
    height = np.minimum(box[3], others[3]) - np.maximum(box[1], others[1]) + offset
    shared = np.maximum(zero, width) * np.maximum(zero, height)
    with np.errstate(invalid='ignore', divide='ignore'):
        return shared / (box[5] + others[5] - shared)


def _decay(iou: np.ndarray, iou_threshold: float, sigma: float, method: int) -> np.ndarray:
    if method == _GAUSSIAN:
        return np.exp(-(iou * iou) / sigma)
    lowered = 1 - iou if method == _LINEAR else np.zeros_like(iou)
    return np.where(iou >= iou_threshold, lowered, np.ones_like(iou))


def _fill_gaps_from_the_end(table: np.ndarray, index: np.ndarray, dropped: np.ndarray) -> None:
    """Move the last survivors into the gaps: mmcv swaps with the last box, which decides ties."""
    kept = dropped.size - int(dropped.sum())
    gaps = np.flatnonzero(dropped[:kept])
    movers = kept + np.flatnonzero(~dropped[kept:])[::-1]
    table[:, gaps] = table[:, movers]
    index[gaps] = index[movers]
