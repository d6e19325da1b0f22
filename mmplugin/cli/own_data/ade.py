"""A segmentor's config on images and masks of the user's own, in ADE20K's layout."""

from collections.abc import Sequence
from pathlib import Path

from mmplugin.cli.data import datasets_of
from mmplugin.cli.errors import UserError
from mmplugin.cli.own_data.ade_layout import (
    MASK_SUFFIX,
    Pairs,
    find_classes,
    find_pairs,
    find_root,
)
from mmplugin.cli.own_data.heads import set_num_classes
from mmplugin.cli.own_data.masks import IGNORED, Masks
from mmplugin.cli.own_data.palette import palette
from mmplugin.cli.own_data.table import amount, once_each, spread, table


def use_ade_data(cfg, folder: str, splits: Sequence[str], reduce_zero_label: bool) -> list[str]:
    """Let a segmentor's config train and test on the images and masks below ``folder``.

    Classes come from ``classes.txt`` or ``objectInfo150.txt``, else are counted in the masks and
    named by their label. Schedule and learning rate stay.

    Args:
        cfg: mmengine Config for mmseg; changed in place.
        folder: of the data, see ``ade_layout.LAYOUT``.
        splits: of 'train', 'val', 'test': those the run needs.
        reduce_zero_label: whether label 0 is no class, and class k has label k + 1.

    Returns:
        Lines that describe the data.

    Raises:
        UserError: when the data are not whole, or not for this config.
    """
    if cfg.get('default_scope') != 'mmseg':
        raise UserError('--ade-data is for segmentors (mmseg); a detector takes --coco-data')
    root = find_root(folder)
    found = find_pairs(root)
    notes = []
    if len(found) == 1:
        (pairs,) = found.values()
        notes.append(
            f'there are images in {pairs.images.relative_to(root)} alone: training and evaluation '
            'see the same, so the metrics tell how well these are fitted, not how others will be'
        )
        found = {'train': pairs, 'val': pairs}
    found['test'] = found['val']
    scans = {pairs: Masks(pairs) for pairs in dict.fromkeys(found.values())}
    classes, source = name_classes(
        list(scans.values()), find_classes(root, Path(folder)), reduce_zero_label
    )
    for split, pairs in found.items():
        if cfg.get(f'{split}_dataloader') is not None:
            place_split(cfg, split, pairs, root, classes, reduce_zero_label)
    set_reduction(cfg.get('tta_pipeline', ()), reduce_zero_label)
    set_num_classes(cfg.model, 'mmseg', len(classes))
    shown = once_each({split: scans[found[split]] for split in splits})
    return [
        f'data of {root}',
        *notes,
        f'{len(classes)} classes, {source}',
        *described(root, shown, classes, reduce_zero_label),
    ]


def name_classes(
    scans: list[Masks], named: tuple[Path, tuple[str, ...]] | None, reduce_zero_label: bool
) -> tuple[tuple[str, ...], str]:
    """The classes and where they are from, once it is sure that no mask holds another."""
    first = int(reduce_zero_label)
    highest = max((label for scan in scans for label in scan.labels), default=0)
    if named is None:
        classes = tuple(f'label_{label}' for label in range(first, highest + 1))
        source = 'counted in the masks, as there is no classes.txt'
    else:
        path, classes = named
        source = f'named in {path.name}'
        last = first + len(classes) - 1
        if highest > last:
            example = next(scan.examples[highest] for scan in scans if highest in scan.examples)
            raise UserError(
                f'{example} has label {highest}, but {path} names {len(classes)} classes, whose '
                f'labels are {first} to {last}; {IGNORED} is for pixels without a class'
            )
    if len(classes) < 2:
        raise UserError(
            f'the masks have {amount(len(classes), "class", "classes")}, and a segmentor needs two '
            f'to tell apart{ways_to_more(scans, highest, reduce_zero_label)}'
        )
    return classes, source


def ways_to_more(scans: list[Masks], highest: int, reduce_zero_label: bool) -> str:
    """How labels that are ignored become classes, where the masks have them."""
    examples = {label: path for scan in reversed(scans) for label, path in scan.examples.items()}
    text = ''
    if IGNORED in examples:
        text += (
            f'; label {IGNORED}, as in {examples[IGNORED]}, is ignored always: where it stands for '
            f'a class write {highest + 1} instead'
        )
    if reduce_zero_label and 0 in examples:
        text += '; --no-reduce-zero-label makes label 0 one'
    return text


def place_split(
    cfg, split: str, pairs: Pairs, root: Path, classes: tuple[str, ...], reduce_zero_label: bool
) -> None:
    """Write folders and classes into the data loader of a split."""
    where = f'{split}_dataloader.dataset'
    places = list(datasets_of(cfg[f'{split}_dataloader'].dataset, where))
    if len(places) != 1:
        raise UserError(
            f'--ade-data takes a config with one data set a split, and {where} is of {len(places)}'
        )
    dataset = places[0][1]
    set_reduction(dataset['pipeline'], reduce_zero_label)
    dataset.pop('ann_file', None)
    dataset.update(
        type='BaseSegDataset',  # ADE20KDataset takes no other classes than its own
        data_root=str(root),
        data_prefix=dict(
            img_path=str(pairs.images.relative_to(root)),
            seg_map_path=str(pairs.masks.relative_to(root)),
        ),
        metainfo=dict(classes=classes, palette=palette(len(classes))),
        img_suffix=pairs.suffix,
        seg_map_suffix=MASK_SUFFIX,
        reduce_zero_label=reduce_zero_label,
    )


def set_reduction(steps, reduce_zero_label: bool) -> None:
    """Let every LoadAnnotations of a pipeline treat label 0 as the data set does."""
    for step in steps:
        if isinstance(step, (list, tuple)):
            set_reduction(step, reduce_zero_label)
        elif 'transforms' in step:
            set_reduction(step['transforms'], reduce_zero_label)
        elif step['type'].rpartition('.')[2] == 'LoadAnnotations':
            step['reduce_zero_label'] = reduce_zero_label


def described(
    root: Path,
    shown: dict[str, Masks],
    classes: tuple[str, ...],
    reduce_zero_label: bool,
) -> list[str]:
    """What is in the images and masks, and what of it will cause surprise."""
    first = int(reduce_zero_label)
    left_out = [*range(first), IGNORED]
    labels = range(first, first + len(classes))
    lines, warnings = [], []
    for split, masks in shown.items():
        ignored = sum(masks.percent(left_out))
        images = amount(len(masks.pairs.names), 'image')
        lines.append(
            f'{split}: {masks.pairs.images.relative_to(root)}: {images} of '
            f'{spread(masks.sizes)}, {ignored:.1f} % of the pixels ignored (label '
            f'{" or ".join(map(str, left_out))})'
        )
        absent = [name for name, label in zip(classes, labels) if label not in masks.examples]
        if absent:
            warnings.append(
                f'{split}: no pixel of {amount(len(absent), "class", "classes")}, such as '
                f'{absent[0]!r}'
            )
        if reduce_zero_label and masks.percent([0])[0] > 50:
            warnings.append(
                f'{split}: label 0 has most pixels and is ignored; if it is a class, such as the '
                'background, add --no-reduce-zero-label'
            )
    shares = {split: masks.percent(labels) for split, masks in shown.items()}
    columns = {split: [f'{share:.2f}' for share in column] for split, column in shares.items()}
    return [*lines, *table(classes, '% of pixels', columns), *warnings]
