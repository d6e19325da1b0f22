"""What an annotation file in COCO's format must hold, record by record."""

import json
import math
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mmplugin.cli.errors import UserError


class Rule(NamedTuple):
    """Whether a value serves, and what would."""

    holds: Callable[[object], bool]
    takes: str


def is_number(value) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -math.inf < value < math.inf


def is_length(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_box(value) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))


def is_polygon(value) -> bool:
    return isinstance(value, list) and all(map(is_number, value))


ID = Rule(lambda value: isinstance(value, str) or is_number(value), 'a number')
NUMBER = Rule(is_number, 'a number')
LENGTH = Rule(is_length, 'a whole number of pixels')
NAME = Rule(lambda value: isinstance(value, str) and value != '', 'a text')
RECORDS = {
    'images': ('image', {'id': ID, 'file_name': NAME, 'width': LENGTH, 'height': LENGTH}),
    'annotations': (
        'annotation',
        {
            'id': NUMBER,
            'image_id': ID,
            'category_id': ID,
            'bbox': Rule(is_box, 'x, y, width, height'),
            'area': Rule(lambda value: is_number(value) and value >= 0, 'a number from 0 on'),
            'iscrowd': Rule(lambda value: value in (0, 1), '0 or 1'),
        },
    ),
    'categories': ('category', {'id': ID, 'name': NAME}),
}
"""What mmdet's CocoDataset and COCO's evaluation read of each record."""


def read_records(path: Path) -> dict[str, list[dict]]:
    """Images, annotations and categories of a file, every field that is needed of its kind.

    Raises:
        UserError: for a file that is not in COCO's format, or has no images or no annotations.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror}') from None
    except ValueError as error:
        raise UserError(f'{path} is no json file: {error}') from None
    for kind in RECORDS:
        records = content.get(kind) if isinstance(content, dict) else None
        if not isinstance(records, list):
            raise UserError(f"{path} is not in COCO's format: it has no list {kind!r}")
        for place, record in enumerate(records):
            if fault := fault_of(record, kind, place):
                raise UserError(f'{path}: {fault}')
    if not content['images'] or not content['annotations']:
        raise UserError(f'{path} has no images or no annotations')
    return {kind: content[kind] for kind in RECORDS}


def fault_of(record, kind: str, place: int) -> str | None:
    """What is wrong with a record of ``kind``, the ``place``-th of its list from 0 on, if it is."""
    one, rules = RECORDS[kind]
    if not isinstance(record, dict):
        return f'{kind} are objects, and number {place} (from 0) is {reprlib.repr(record)}'
    known = 'id' in record and rules['id'].holds(record['id'])
    which = f'{one} {record["id"] if known else f"number {place} (from 0)"}'
    for key, rule in rules.items():
        if key not in record:
            return f'{kind} need {", ".join(rules)}, and {which} has no {key}'
        if not rule.holds(record[key]):
            return f'{which} has {key} {reprlib.repr(record[key])}; it takes {rule.takes}'
    return None


def mask_fault(mask, height: int, width: int) -> str | None:
    """What is wrong with a segmentation of an image of that size, if it is.

    mmdet leaves out polygons of fewer than three points, but COCO's evaluation tells by the first
    one what all are.
    """
    if isinstance(mask, dict):
        counts = mask.get('counts')
        if mask.get('size') != [height, width] or not isinstance(counts, (list, str)):
            return f'takes counts and the size [{height}, {width}] of its image'
    elif not isinstance(mask, list) or not all(map(is_polygon, mask)):
        return 'takes a list of polygons x, y, x, y, ... or run lengths'
    elif len(mask[0]) < 6 or len(mask[0]) % 2:
        return 'takes polygons x, y, x, y, ... of three points or more'
    return None
