"""Non-maximum suppression that keeps or drops whole boxes."""

import torch
from torch import Tensor
from torchvision.ops import box_iou

from mmplugin.compat.mmcv_ext.precision import as_float32, widen


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Keep the boxes that no better box overlaps by more than ``iou_threshold``.

    Args:
        boxes: (n, 4) as x1, y1, x2, y2 in pixels; n may be 0.
        scores: (n,).
        iou_threshold: a box goes when its overlap is strictly above this.
        offset: 0 or 1, added to every width and height.

    Returns:
        int64 indices of the kept boxes, best first. Boxes of zero area are all kept.

    torchvision sorts equal scores stably and mmcv does not, which changes the kept set. So the
    boxes are sorted here as mmcv sorts them, and torchvision sees strictly falling ranks, which no
    backend's sort can reorder.
    """
    boxes = widen(boxes)
    if offset:
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
    order = scores.sort(0, descending=True)[1]
    rank = torch.arange(scores.size(0), 0, -1, dtype=boxes.dtype, device=boxes.device)
    keep = torch.ops.torchvision.nms(boxes[order], rank, as_float32(iou_threshold))
    return order[keep]


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group every kept box with the boxes it suppresses.

    Args:
        dets: (n, 5) as x1, y1, x2, y2, score.
        iou_threshold: a box joins a group when its overlap is at least this.

    Returns:
        One list of indices per kept box, that box first, then its group, all in score order.
    """
    dets = widen(dets)
    boxes = dets[:, :4]
    remaining = dets[:, 4].sort(0, descending=True)[1]
    groups = []
    while remaining.numel():
        head, rest = remaining[:1], remaining[1:]
        joins = box_iou(boxes[head], boxes[rest])[0] >= iou_threshold
        groups.append(head.tolist() + rest[joins].tolist())
        remaining = rest[~joins]
    return groups
