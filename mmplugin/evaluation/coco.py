"""COCO's figures, computed by pycocotools, each under the name of what was computed."""

import copy
import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

MAX_DETS = (1, 10, 100)
"""COCO's own numbers of detections an image."""

SIZES = ('s', 'm', 'l')


def names_of(max_dets: Sequence[int]) -> tuple[str, ...]:
    """Names of the twelve figures of ``COCOeval.stats``.

    Args:
        max_dets: three numbers of detections an image, rising.
    """
    most = max_dets[-1]
    precision = ('mAP', 'mAP_50', 'mAP_75', *(f'mAP_{size}' for size in SIZES))
    recall = (*(f'AR@{count}' for count in max_dets), *(f'AR_{size}@{most}' for size in SIZES))
    return precision + recall


def evaluate(
    truth: COCO,
    detections: list[dict],
    kind: str,
    cat_ids: Sequence[int],
    max_dets: Sequence[int] = MAX_DETS,
    iou_thrs: Sequence[float] | None = None,
    evaluator: type[COCOeval] = COCOeval,
) -> COCOeval:
    """Match detections with the ground truth of all its images.

    Args:
        truth: the ground truth.
        detections: records in COCO's result format; those of no image and an empty list are fine.
        kind: 'bbox' or 'segm'; the area by which a detection is small, medium or large is that of
            its box or its mask.
        cat_ids: categories that count.
        max_dets: three numbers of detections an image. Default: COCO's.
        iou_thrs: thresholds to average over. Default: COCO's, 0.50 to 0.95.
        evaluator: COCOeval, or a class with its interface. Default: COCOeval.

    Returns:
        The evaluator, accumulated.
    """
    key = {'bbox': 'bbox', 'segm': 'segmentation'}[kind]
    keys = ('image_id', 'category_id', 'score', key)
    with redirect_stdout(io.StringIO()):
        # without the other kind: pycocotools takes the area of the box wherever there is one
        found = load(truth, [{key: record[key] for key in keys} for record in detections])
        evaluation = evaluator(truth, found, kind)
        params = evaluation.params
        params.catIds = list(cat_ids)
        params.imgIds = truth.getImgIds()
        params.maxDets = list(max_dets)
        if iou_thrs is not None:
            params.iouThrs = iou_thrs
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def load(truth: COCO, detections: list[dict]) -> COCO:
    """``truth.loadRes``, which cannot read an empty list."""
    if detections:
        return truth.loadRes(detections)
    found = COCO()
    found.dataset = {**truth.dataset, 'annotations': []}
    found.createIndex()
    return found


def summarize(evaluation: COCOeval) -> tuple[dict[str, float], str]:
    """The twelve figures, -1 where there is no ground truth, and pycocotools' own table."""
    with redirect_stdout(io.StringIO()) as table:
        evaluation.summarize()
    names = names_of(evaluation.params.maxDets)
    return dict(zip(names, map(float, evaluation.stats))), table.getvalue().rstrip('\n')


def per_class(evaluation: COCOeval) -> Iterator[tuple[str, dict[str, float]]]:
    """The name of each category with its twelve figures, in the order of the ids."""
    for place, number in enumerate(evaluation.params.catIds):
        one = copy.copy(evaluation)
        one.eval = dict(
            precision=evaluation.eval['precision'][:, :, [place]],
            recall=evaluation.eval['recall'][:, [place]],
        )
        yield evaluation.cocoGt.cats[number]['name'], summarize(one)[0]
