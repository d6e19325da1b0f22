"""Writing a file so that it is there whole or not at all, and knowing it again by its hash."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmplugin.weights.safetensors_file import save_safetensors

SUFFIXES = ('.safetensors', '.pth')


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def check_target(path: Path, force: bool) -> None:
    """Refuse a target that is no file name of ours, or that is there already.

    Raises:
        ValueError: for a folder, a suffix not in ``SUFFIXES``, a parent that is no folder, or an
            existing file without ``force``.
    """
    if path.is_dir() or path.suffix not in SUFFIXES:
        raise ValueError(f'{path}: name a file that ends in {" or ".join(SUFFIXES)}')
    if not path.parent.is_dir():
        raise ValueError(f'{path}: the folder {path.parent} does not exist; make it first')
    if path.exists() and not force:
        raise ValueError(f'{path}: is there already; --force overwrites it')


@contextmanager
def in_place_of(path: Path, force: bool) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place at the end, and goes if that fails."""
    check_target(path, force)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    try:
        yield temporary
        with open(temporary, 'rb') as file:
            os.fsync(file.fileno())
        check_target(path, force)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_weights(
    path: Path,
    tensors: dict[str, Tensor],
    provenance: dict[str, str],
    meta: dict[str, Any],
    force: bool = False,
) -> None:
    """Write weights as safetensors or, for ``.pth``, as a state dict.

    Args:
        path: ends in ``.safetensors`` or ``.pth``.
        tensors: by name.
        provenance: where they come from. In safetensors it is metadata, in a bare state dict the
            attribute ``provenance``, which loading by name ignores.
        meta: of an MM checkpoint. Where it is not empty, a ``.pth`` becomes
            ``{'state_dict': ..., 'meta': ...}`` with the provenance inside ``meta``.
        force: overwrite. Default False.

    Raises:
        ValueError: as ``check_target``.
    """
    with in_place_of(path, force) as temporary:
        if path.suffix == '.safetensors':
            save_safetensors(str(temporary), tensors, {**meta, 'provenance': provenance})
            return
        # clones: a view would bring the whole of its storage along
        state = OrderedDict((key, value.detach().clone()) for key, value in tensors.items())
        content: Any = state
        if meta:
            content = {'state_dict': state, 'meta': {**meta, 'provenance': provenance}}
        else:
            state.provenance = provenance
        torch.save(content, temporary)
