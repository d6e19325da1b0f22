"""Where a COCO-format data set keeps its annotation files and images."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from mmplugin.cli.errors import UserError
from mmplugin.cli.own_data.coco_glance import glance
from mmplugin.cli.own_data.coco_records import read_records

LAYOUTS = (
    'annotations/instances_train2017.json (any year or none) with train2017/ or images/train2017/; '
    'annotations/train.json or train.json with train/, images/train/ or images/; '
    'train/_annotations.coco.json beside its images; '
    'one json alone, in the folder or in annotations/; val in the same way (or valid)'
)
SPLITS = {'train': 'train', 'val': 'val', 'valid': 'val', 'validation': 'val', 'test': 'test'}
NAME = re.compile(rf'(?:instances_)?(({"|".join(sorted(SPLITS, reverse=True))})(?:\d{{4}})?)\.json')


class Place(NamedTuple):
    """An annotation file, and the folders in which its images may be, the likeliest first."""

    annotations: Path
    folders: tuple[Path, ...]


def find_places(root: Path) -> dict[str, Place]:
    """The annotation file of each split.

    Args:
        root: folder of the data set.

    Returns:
        'train', 'val' and 'test' where there are such files; 'all' for one file that is no split.

    Raises:
        UserError: when there is no annotation file, or more than one for a split.
    """
    if not root.is_dir():
        raise UserError(f'--coco-data {root} is no folder (looked from {Path.cwd()})')
    found = named_splits(root)
    for split, places in found.items():
        if len(places) > 1:
            names = ' and '.join(str(place.annotations.relative_to(root)) for place in places)
            raise UserError(
                f'--coco-data {root}: {names} could each be the {split} part; leave one of them '
                'there, or name a folder with links to the files and images that are meant'
            )
    if found:
        return {split: places[0] for split, places in found.items()}
    return {'all': only_file(root)}


def named_splits(root: Path) -> dict[str, list[Place]]:
    """Annotation files whose name or folder says which split they are."""
    found = {}
    for path in json_files(root):
        if match := NAME.fullmatch(path.name):
            name, split = match[1], SPLITS[match[2]]
            folders = [root / name, root / 'images' / name, root / split, root / 'images' / split]
            folders += [root / 'images', root]
            found.setdefault(split, []).append(Place(path, tuple(dict.fromkeys(folders))))
    for name, split in SPLITS.items():
        path = root / name / '_annotations.coco.json'
        if path.is_file():
            found.setdefault(split, []).append(Place(path, (path.parent,)))
    tests = [place for place in found.get('test', ()) if not lists_images_alone(place.annotations)]
    found['test'] = tests
    return {split: places for split, places in found.items() if places}


def only_file(root: Path) -> Place:
    """The one annotation file of a data set that has no splits."""
    files = json_files(root)
    paths = [path for path in files if glance(path).is_coco]
    if len(paths) > 1:
        names = ', '.join(str(path.relative_to(root)) for path in paths)
        raise UserError(
            f'--coco-data {root}: {names} could each be the annotations; name two of them '
            'annotations/train.json and annotations/val.json, or leave one alone'
        )
    if not paths:
        raise UserError(f'--coco-data {root} holds no annotation file{instead(root, files)}')
    (path,) = paths
    folders = (root / 'images', root / path.stem, root, path.parent)
    return Place(path, tuple(dict.fromkeys(folders)))


def instead(root: Path, files: list[Path]) -> str:
    """What there is in place of an annotation file, and what there could be."""
    below = [
        path
        for path in sorted(root.iterdir())
        if path.is_dir()
        and (named_splits(path) or any(glance(file).is_coco for file in json_files(path)))
    ]
    if len(below) == 1:
        return f'; try --coco-data {below[0]}; it may be: {LAYOUTS}'
    if files:
        return f' that serves: {"; ".join(map(refusal, files[:3]))}'
    return f'; it may be: {LAYOUTS}'


def refusal(path: Path) -> str:
    """Why a file is no annotation file."""
    try:
        read_records(path)
    except UserError as error:
        return str(error)
    return f'{path} has no categories'


def json_files(root: Path) -> list[Path]:
    return [
        path for folder in (root / 'annotations', root) for path in sorted(folder.glob('*.json'))
    ]


def lists_images_alone(path: Path) -> bool:
    """Whether a file is like those of COCO's own test images, which have no objects."""
    if glance(path).objects:
        return False
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and 'images' in content and not content.get('annotations')
