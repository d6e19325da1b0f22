"""Evaluating detections that are there already, without a model."""

import json
import math
import time
from collections.abc import Collection
from pathlib import Path

from mmplugin.cli.coco import name_files
from mmplugin.cli.data import datasets_of, metrics_of, require
from mmplugin.cli.errors import UserError

KEYS = {'bbox': 'bbox', 'segm': 'segmentation'}


def evaluate_detections(cfg, path: str) -> None:
    """Evaluate a file in COCO's result format as the config evaluates its model.

    The metrics are logged and saved in the work dir, as those of a model.

    Args:
        cfg: mmengine Config of a detector, with mmplugin's CocoMetric.
        path: of the file.

    Raises:
        UserError: for a config or a file that does not serve.
    """
    if cfg.default_scope != 'mmdet':
        raise UserError('--detections is for detectors (mmdet), and the config is a segmentor')
    from mmdet.registry import DATASETS
    from mmengine.fileio import dump
    from mmengine.logging import MMLogger
    from mmengine.registry import METRICS

    settings = coco_metric_of(cfg)
    metric = METRICS.build(settings)
    ((_, dataset), *_) = datasets_of(cfg.test_dataloader.dataset, '')
    metric.dataset_meta = DATASETS.build(dict(dataset, lazy_init=True, pipeline=[])).metainfo
    metric.settle_classes()
    records = read_detections(path, metric.truth, metric.cat_ids)

    stamp = time.strftime('%Y%m%d_%H%M%S')
    folder = Path(cfg.work_dir, stamp)
    folder.mkdir(parents=True, exist_ok=True)
    name = cfg.get('experiment_name') or f'detections_{stamp}'
    logger = MMLogger.get_instance(name, logger_name='mmplugin', log_file=folder / f'{stamp}.log')
    logger.info(f'evaluating the detections of {path}')
    name_files(metric, folder)
    kinds = records or {kind: [] for kind in metric.metrics}
    found = metric.evaluate_records(kinds)
    figures = {f'{metric.prefix}/{name}': value for name, value in found.items()}
    logger.info('  '.join(f'{name}: {value:.4f}' for name, value in figures.items()))
    dump(figures, folder / f'{stamp}.json')


def coco_metric_of(cfg) -> dict:
    """The one CocoMetric of the config, whose annotation file is there."""
    metrics = metrics_of(cfg.get('test_evaluator'))
    found = [metric for metric in metrics if metric['type'] == 'mmplugin.CocoMetric']
    if len(found) != 1:
        raise UserError(
            'test_evaluator: --detections takes a config with one CocoMetric for boxes or masks, '
            f'and this one has {len(found)}'
        )
    if not found[0].get('ann_file'):
        raise UserError('test_evaluator.ann_file: --detections needs the annotation file')
    require(found[0]['ann_file'], 'test_evaluator.ann_file')
    return found[0]


def read_detections(path: str, truth, cat_ids: Collection[int]) -> dict[str, list[dict]]:
    """Read and check detections.

    Args:
        path: of a json file in COCO's result format. Masks may be RLE, compressed or not, or
            polygons.
        truth: COCO object of the ground truth.
        cat_ids: categories that are evaluated.

    Returns:
        {kind: records} for the kinds in the file, 'bbox' and 'segm'; masks as compressed RLE.
        Empty when the file has no detections.

    Raises:
        UserError: for a file or a record that cannot be evaluated.
    """
    try:
        records = json.loads(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'--detections {path}: {error.strerror}') from error
    except ValueError as error:
        raise UserError(f'--detections {path} is no json file: {error}') from error
    if not isinstance(records, list):
        raise UserError(f'--detections {path} takes a list of detections, as COCO has it')
    present: list[str] = []
    for number, record in enumerate(records):
        try:
            check(record, truth, cat_ids)
            here = [key for key in KEYS.values() if key in record]
            present = present or here
            if here != present:
                raise ValueError(f'has {" and ".join(here)}, the first {" and ".join(present)}')
            if 'segmentation' in record:
                record['segmentation'] = mask_of(record, truth)
        except ValueError as error:
            raise UserError(f'--detections {path}: detection {number} (from 0) {error}') from None
    return {kind: records for kind, key in KEYS.items() if key in present}


def check(record, truth, cat_ids: Collection[int]) -> None:
    """Raise a ValueError that continues ``the detection`` for one that cannot be evaluated."""
    if not isinstance(record, dict):
        raise ValueError('is no object')
    for key in ('image_id', 'category_id', 'score'):
        if key not in record:
            raise ValueError(f'has no {key}')
    if not KEYS.values() & record.keys():
        raise ValueError('has neither bbox nor segmentation')
    for key, known in (('image_id', truth.imgs), ('category_id', cat_ids)):
        number = record[key]
        if isinstance(number, bool) or not isinstance(number, (int, str)) or number not in known:
            raise ValueError(f'has {key} {number!r}, which is not in the ground truth')
    if not finite(record['score']):
        raise ValueError(f'has score {record["score"]!r}; it takes a number')
    box = record.get('bbox', [0, 0, 0, 0])
    if not isinstance(box, list) or len(box) != 4 or not all(map(finite, box)):
        raise ValueError(f'has bbox {box!r}; it takes x, y, width, height')


def finite(value) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def mask_of(record: dict, truth) -> dict:
    """The mask as compressed RLE of the size of its image."""
    image = truth.imgs[record['image_id']]
    try:
        mask = truth.annToRLE(record)
        size = list(mask['size'])
    except Exception as error:  # pycocotools trips over what it cannot read, each time differently
        raise ValueError('has a segmentation that is neither RLE nor polygons') from error
    if size != [image['height'], image['width']]:
        raise ValueError(
            f'has a mask of {size[0]}x{size[1]} pixels (height x width), and its image has '
            f'{image["height"]}x{image["width"]}'
        )
    return mask
