"""A detector's config on a COCO-format data set of the user's own."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmplugin.cli.data import datasets_of, metrics_of
from mmplugin.cli.errors import UserError
from mmplugin.cli.own_data.coco_file import CocoFile
from mmplugin.cli.own_data.coco_glance import glance
from mmplugin.cli.own_data.coco_layout import Place, find_places
from mmplugin.cli.own_data.heads import set_num_classes
from mmplugin.cli.own_data.palette import palette
from mmplugin.cli.own_data.table import amount, once_each, spread, table


def use_coco_data(cfg, folder: str, splits: Sequence[str]) -> list[str]:
    """Let a detector's config train and test on the data below ``folder``.

    Classes, paths, the annotation files of evaluators and ``num_classes`` are set for every split
    the data has; schedule and learning rate stay. Of splits that the run does not need the files
    are not read, but for their classes.

    Args:
        cfg: mmengine Config for mmdet; changed in place.
        folder: of the data, in one of ``coco_layout.LAYOUTS``.
        splits: of 'train', 'val', 'test': those the run needs.

    Returns:
        Lines that describe the data.

    Raises:
        UserError: when the data are not whole, or not for this config.
    """
    if cfg.get('default_scope') != 'mmdet':
        raise UserError('--coco-data is for detectors (mmdet); a segmentor takes --ade-data')
    root = Path(os.path.abspath(folder))
    places, notes = assign(root, find_places(root))
    if 'train' in splits and 'train' not in places:
        raise UserError(f'--coco-data {root} has no annotation file for train')
    files = {place: CocoFile(place) for place in dict.fromkeys(places[s] for s in splits)}
    others = {place: unread(place) for place in places.values() if place not in files}
    parts = {**files, **others}
    shared = agreed_classes(list(parts.values()))
    for split, place in places.items():
        if cfg.get(f'{split}_dataloader') is not None:
            place_split(cfg, split, parts[place], root, shared)
    set_num_classes(cfg.model, 'mmdet', len(shared))
    shown = once_each({split: files[places[split]] for split in splits})
    return [f'data of {root}', *notes, *described(root, shown)]


class Unread(NamedTuple):
    """A part of the data that the run does not need, and of which faults do not stop it."""

    path: Path
    folder: Path
    classes: tuple[str, ...] | None


def unread(place: Place) -> Unread:
    """Where a part seems to have its images, and its classes if they can be told."""
    seen = glance(place.annotations)
    there = [folder for folder in place.folders if folder.is_dir()]
    likely = [folder for folder in there if seen.image and (folder / seen.image).is_file()]
    return Unread(place.annotations, [*likely, *there][0], seen.classes)


def assign(root: Path, found: dict[str, Place]) -> tuple[dict[str, Place], list[str]]:
    """Which file serves each split, and what has to be said about it."""
    if len(found) == 1 and 'test' not in found:
        (place,) = found.values()
        note = (
            f'there is one annotation file, {place.annotations.relative_to(root)}: training and '
            'evaluation see the same images, so the metrics tell how well these are fitted, not '
            'how others will be found; for that, put some of the images into annotations/val.json'
        )
        return dict.fromkeys(('train', 'val', 'test'), place), [note]
    places = dict(found)
    places.setdefault('val', places.get('test'))
    places.setdefault('test', places['val'])
    return places, []


def agreed_classes(files: list[CocoFile | Unread]) -> tuple[str, ...]:
    """The classes, which every file must name in the same order: mmdet numbers them by it."""
    first, *others = files
    for other in others:
        if other.classes is not None and other.classes != first.classes:
            differing = sorted(set(first.classes) ^ set(other.classes))
            how = f'only one has {differing[0]!r}' if differing else 'the order differs'
            raise UserError(
                f'{first.path} and {other.path} must have the same categories in the same order; '
                f'{how}'
            )
    return first.classes


def place_split(
    cfg, split: str, file: CocoFile | Unread, root: Path, classes: tuple[str, ...]
) -> None:
    """Write files and classes into the data loader and the evaluator of a split."""
    where = f'{split}_dataloader.dataset'
    ((place, dataset),) = one_of(list(datasets_of(cfg[f'{split}_dataloader'].dataset, where)))
    kind = dataset['type'].rpartition('.')[2]
    if kind != 'CocoDataset':
        raise UserError(f'--coco-data takes a config with CocoDataset, and {place} is a {kind}')
    metrics = metrics_of(cfg.get(f'{split}_evaluator'))
    if isinstance(file, CocoFile) and wants_masks(dataset, metrics):
        file.check_masks()
    dataset['data_root'] = str(root)
    dataset['ann_file'] = str(file.path.relative_to(root))
    dataset['data_prefix'] = dict(img=str(file.folder.relative_to(root)))
    dataset['metainfo'] = dict(classes=classes, palette=palette(len(classes)))
    for metric in metrics:
        if metric['type'].rpartition('.')[2] == 'CocoMetric':
            metric['ann_file'] = str(file.path)


def one_of(datasets: list) -> list:
    if len(datasets) != 1:
        raise UserError(
            f'--coco-data takes a config with one data set a split, and {datasets[0][0]} is one of '
            f'{len(datasets)}'
        )
    return datasets


def wants_masks(dataset: dict, metrics: list[dict]) -> bool:
    loads = any(step.get('with_mask') for step in dataset.get('pipeline', ()))
    kinds = [metric.get('metric') for metric in metrics]
    return loads or any(kind == 'segm' or 'segm' in (kind or ()) for kind in kinds)


def described(root: Path, files: dict[str, CocoFile]) -> list[str]:
    """What is in the files, and what of it will cause surprise."""
    lines = []
    for split, file in files.items():
        crowds = len(file.annotations) - len(file.objects)
        lines.append(
            f'{split}: {file.path.relative_to(root)}, images in {file.folder.relative_to(root)}/: '
            f'{amount(len(file.images), "image")} of {spread(file.sizes)}, '
            f'{amount(len(file.objects), "box", "boxes")}, {amount(crowds, "crowd")}, '
            f'{amount(file.empty_images, "image")} without objects'
        )
    names = next(iter(files.values())).classes
    counts = {split: file.boxes_per_class for split, file in files.items()}
    lines += table(names, 'boxes', {split: [f'{n:,}' for n in ns] for split, ns in counts.items()})
    for split, file in files.items():
        lines += [f'{split}: {warning}' for warning in surprises(file)]
    return lines


def surprises(file: CocoFile) -> list[str]:
    """Faults of the data that neither mmdet nor COCO's evaluation mention."""
    over, lost = file.misplaced()
    absent = [name for name, count in zip(file.classes, file.boxes_per_class) if not count]
    found = []
    if over:
        found.append(f'{amount(over, "box", "boxes")} reach over the edge of the image')
    if lost:
        found.append(
            f'{amount(lost, "box", "boxes")} outside the image or thinner than a pixel, which '
            'mmdet leaves out of training'
        )
    if absent:
        found.append(f'no box of {amount(len(absent), "class", "classes")}, such as {absent[0]!r}')
    if any(note['id'] == 0 for note in file.annotations):
        found.append(
            "annotation ids begin at 0: COCO's evaluation takes a match with number 0 for none; "
            'count them from 1'
        )
    return found
