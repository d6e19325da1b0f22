"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = '.partial'
"""Ending of a file while it is written. It hides the file from whoever looks for ``*.pth``."""


def move_into_place(partial: Path, path: Path) -> None:
    """Give a written file its name, once its contents are on the disk.

    Raises:
        OSError: what the disk says.
    """
    with open(partial, 'r+b') as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())
    os.replace(partial, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can (Windows cannot)."""
    if os.name == 'nt':
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, text: str) -> None:
    """Write a text file under another name, then move it into place."""
    partial = path.with_name(path.name + PARTIAL)
    partial.write_text(text, encoding='utf-8')
    move_into_place(partial, path)


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A name beside ``path``, of this process alone, to write under before ``move_into_place``.

    What is left under it at the end is deleted.
    """
    draft = path.with_name(f'.{path.name}.{os.getpid()}{PARTIAL}')
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)
