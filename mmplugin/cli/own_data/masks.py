"""What the masks of a semantic data set hold."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmplugin.cli.errors import UserError
from mmplugin.cli.own_data.ade_layout import Pairs

IGNORED = 255
"""The label that mmseg never trains on."""
ORIENTATION = 0x0112
"""EXIF's key for how a camera was held; OpenCV turns pictures by it."""


class Masks:
    """Pixels of each label in the masks of a split.

    Args:
        pairs: images and masks; each mask is read once, of each image the size.

    Attributes:
        pairs: as given.
        pixels: how many pixels have each of the labels 0 to 255.
        examples: {label: the first mask that holds it}.
        sizes: {(width, height): images}.

    Raises:
        UserError: for a file that cannot be read, a mask that is no label map, or one not as large
            as its image.
    """

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.pixels = np.zeros(256, np.int64)
        self.examples: dict[int, Path] = {}
        self.sizes: Counter[tuple[int, int]] = Counter()
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            paths = ((pairs.image(name), pairs.mask(name)) for name in pairs.names)
            for name, (size, counts) in zip(pairs.names, pool.map(read_pair, paths)):
                self.sizes[size] += 1
                self.pixels += counts
                for label in np.flatnonzero(counts):
                    self.examples.setdefault(int(label), pairs.mask(name))

    @property
    def labels(self) -> list[int]:
        """Those that occur, without ``IGNORED``."""
        return [label for label in sorted(self.examples) if label != IGNORED]

    def percent(self, labels) -> list[float]:
        """Share of each label in all pixels."""
        return [100 * float(self.pixels[label]) / float(self.pixels.sum()) for label in labels]


def read_pair(paths: tuple[Path, Path]) -> tuple[tuple[int, int], np.ndarray]:
    """Size of an image and pixels of each label in its mask."""
    picture, mask = paths
    with readable(picture) as image:
        size = image.size
        if image.getexif().get(ORIENTATION, 1) > 4:  # a quarter turn
            size = size[::-1]
    with readable(mask) as image:
        if image.mode not in ('L', 'P', '1'):
            raise UserError(
                f'{mask} is no mask of labels: it must have one channel of 8 bits, and is of mode '
                f'{image.mode}'
            )
        if image.size != size:
            raise UserError(
                f'{mask} is {image.size[0]}x{image.size[1]} and its image {picture.name} '
                f'{size[0]}x{size[1]} pixels large'
            )
        labels = np.asarray(image, dtype=np.uint8)
    return size, np.bincount(labels.ravel(), minlength=256)


@contextmanager
def readable(path: Path) -> Iterator[Image.Image]:
    """The picture of a file; what Pillow cannot read there is a UserError that names the file."""
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError:
        raise UserError(f'{path} is no picture, or a broken one') from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f'{path} cannot be read as a picture: {error}') from None
