"""Writing a weight file with its origin, and knowing it again by its hash."""

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmplugin.files import draft_of, move_into_place
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


def write_weights(
    path: Path,
    tensors: dict[str, Tensor],
    provenance: dict[str, str],
    meta: dict[str, Any],
    force: bool = False,
) -> None:
    """Write weights as safetensors or, for ``.pth``, as a state dict; whole or not at all.

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
    check_target(path, force)
    with draft_of(path) as draft:
        if path.suffix == '.safetensors':
            save_safetensors(str(draft), tensors, {**meta, 'provenance': provenance})
        else:
            save_pth(draft, tensors, provenance, meta)
        check_target(path, force)
        move_into_place(draft, path)


def save_pth(
    file: Path, tensors: dict[str, Tensor], provenance: dict[str, str], meta: dict[str, Any]
) -> None:
    # clones: a view would bring the whole of its storage along
    state = OrderedDict((key, value.detach().clone()) for key, value in tensors.items())
    content: Any = state
    if meta:
        content = {'state_dict': state, 'meta': {**meta, 'provenance': provenance}}
    else:
        state.provenance = provenance
    torch.save(content, file)
