"""Where a data set in ADE20K's layout keeps images, masks and the names of its classes."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from mmplugin.cli.errors import UserError

LAYOUT = (
    'images/training, images/validation, annotations/training, annotations/validation (train and '
    'val, too), in the folder or in ADEChallengeData2016 below it'
)
FOLDERS = {'train': ('training', 'train'), 'val': ('validation', 'val')}
IMAGE = re.compile(r'\.(jpe?g|png|bmp|tiff?|webp)', re.IGNORECASE)
MASK_SUFFIX = '.png'


class Pairs(NamedTuple):
    """Images of a split and their masks.

    Attributes:
        images, masks: the two folders.
        suffix: of every image; masks have ``MASK_SUFFIX``.
        names: of the images, relative to their folder and without suffix.
    """

    images: Path
    masks: Path
    suffix: str
    names: tuple[str, ...]

    def image(self, name: str) -> Path:
        return self.images / f'{name}{self.suffix}'

    def mask(self, name: str) -> Path:
        return self.masks / f'{name}{MASK_SUFFIX}'


def find_root(folder: str) -> Path:
    """The folder that holds ``images`` and ``annotations``.

    Raises:
        UserError: when there is none.
    """
    top = Path(os.path.abspath(folder))
    for root in (top, top / 'ADEChallengeData2016'):
        if (root / 'images').is_dir() and (root / 'annotations').is_dir():
            return root
    raise UserError(f'--ade-data {folder} has no images/ and annotations/; it takes {LAYOUT}')


def find_pairs(root: Path) -> dict[str, Pairs]:
    """Images and masks of 'train' and 'val', or of the one that is there.

    Raises:
        UserError: for images without a mask, of different suffixes, or none at all.
    """
    found = {}
    for split, names in FOLDERS.items():
        for name in names:
            if (root / 'images' / name).is_dir():
                found[split] = paired(root / 'images' / name, root / 'annotations' / name)
                break
    if not found:
        raise UserError(f'--ade-data: {root} has no split below images/; it takes {LAYOUT}')
    return found


def paired(images: Path, masks: Path) -> Pairs:
    files = [path for path in sorted(images.rglob('*')) if IMAGE.fullmatch(path.suffix)]
    suffixes = Counter(path.suffix for path in files)
    if len(suffixes) != 1:
        kinds = ', '.join(f'{count} {suffix}' for suffix, count in suffixes.items())
        raise UserError(
            f'{images} must hold images of one suffix, as mmseg reads them; it holds '
            f'{kinds or "no image"}'
        )
    (suffix,) = suffixes
    names = tuple(path.relative_to(images).as_posix().removesuffix(suffix) for path in files)
    pairs = Pairs(images, masks, suffix, names)
    missing = [name for name in names if not pairs.mask(name).is_file()]
    if missing:
        raise UserError(
            f'{len(missing)} of {len(names)} images in {images} have no mask in {masks}: '
            f'{", ".join(f"{name}{MASK_SUFFIX}" for name in missing[:3])}'
            f'{", ..." if len(missing) > 3 else ""}'
        )
    return pairs


def find_classes(*folders: Path) -> tuple[Path, tuple[str, ...]] | None:
    """The file with the classes' names, and the names, label by label.

    ``classes.txt`` has one name a line; ``objectInfo150.txt``, ADE20K's own, has a table, whose
    last column lists synonyms, of which the first is taken.

    Raises:
        UserError: for a file without names, or with one twice.
    """
    for folder in folders:
        for path in (folder / 'classes.txt', folder / 'objectInfo150.txt'):
            if path.is_file():
                return path, read_classes(path)
    return None


def read_classes(path: Path) -> tuple[str, ...]:
    lines = [line.strip() for line in path.read_text(encoding='utf-8').splitlines()]
    names = [line for line in lines if line]
    if path.name != 'classes.txt':
        names = [line.split('\t')[-1].split(',')[0].strip() for line in names[1:]]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if not names or twice:
        what = f'names {twice[0]!r} twice' if twice else 'names no class'
        raise UserError(f'{path} {what}')
    return tuple(names)
