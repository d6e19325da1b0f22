"""What is at hand of an annotation file without reading all its records."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

IMAGES = re.compile(r'"images"\s*:\s*\[')
OBJECTS = re.compile(r'"annotations"\s*:\s*\[\s*[^\]\s]')
CATEGORIES = re.compile(r'"categories"\s*:\s*(?=\[)')
FILE_NAME = re.compile(r'"file_name"\s*:\s*(?=")')


class Glance(NamedTuple):
    """What a file seems to hold, be it whole or not.

    Attributes:
        images: whether there is a list of them.
        objects: whether there is a list of annotations with one in it.
        classes: names of the categories in their order, None where they cannot be told.
        image: a file name of an image, None where there is none.
    """

    images: bool
    objects: bool
    classes: tuple[str, ...] | None
    image: str | None

    @property
    def is_coco(self) -> bool:
        """Whether it could be an annotation file with objects."""
        return self.images and self.objects and self.classes is not None


def glance(path: Path) -> Glance:
    """Look through the text of a file, without parsing it; one that cannot be read has nothing."""
    try:
        text = path.read_text(encoding='utf-8', errors='replace')
    except OSError:
        text = ''
    classes = (names_of(value) for value in values_after(CATEGORIES, text))
    return Glance(
        bool(IMAGES.search(text)),
        bool(OBJECTS.search(text)),
        next(filter(None, classes), None),
        next(values_after(FILE_NAME, text), None),
    )


def values_after(key: re.Pattern, text: str) -> Iterator:
    """The json values after matches of ``key``, up to the first that is broken."""
    decoder = json.JSONDecoder()
    for match in key.finditer(text):
        try:
            yield decoder.raw_decode(text, match.end())[0]
        except ValueError:
            return


def names_of(categories: list) -> tuple[str, ...] | None:
    names = [category.get('name') for category in categories if isinstance(category, dict)]
    are_names = len(names) == len(categories) and all(isinstance(name, str) for name in names)
    return tuple(names) if are_names else None
