"""Read checkpoints without ever running what is in them.

``torch.load`` restricted to weights refuses the checkpoints mmengine writes, because they carry
its loss histories. Here the few further names they need are allowed for the time of one load
(``torch.serialization.safe_globals``); there is no way back to unrestricted unpickling, whatever
the environment variables of torch say.
"""

import argparse
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch

from .plain_values import STAND_INS, NotPlainError, settle

_lock = threading.RLock()  # the allow-list of torch is one for the process

_REFUSED = re.compile(r'GLOBAL (\S+)|(?:unrecognized function|but got) (<.+>)')


class CheckpointError(ValueError):
    """The file cannot be read as a checkpoint."""


class UnsafeCheckpointError(CheckpointError):
    """Reading the file would run code, or build objects that no checkpoint needs."""


def load(file, map_location=None) -> Any:
    """Read a checkpoint: tensors, plain Python values, and what mmengine and argparse add.

    Args:
        file: path, or an open binary file.
        map_location: where the tensors go, as for ``torch.load``.

    Raises:
        FileNotFoundError: no such file.
        UnsafeCheckpointError: it carries something else than the above.
        CheckpointError: it is a folder, empty, cut off or no checkpoint at all.
    """
    is_path = isinstance(file, (str, os.PathLike))
    name = str(file) if is_path else getattr(file, 'name', 'the checkpoint')
    if is_path and Path(file).is_dir():
        raise CheckpointError(f'{name}: is a folder; give the checkpoint file in it')
    with _reading(name) as settled:
        return settled(torch.load(file, map_location=map_location, weights_only=True))


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location=None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
) -> Any:
    """Download a checkpoint, unless it has been before, and read it as ``load`` does.

    The arguments are those of ``torch.hub.load_state_dict_from_url``, which by itself reads
    without restriction.

    Raises:
        ConnectionError: it cannot be downloaded.
        CheckpointError: as from ``load``.
    """
    folder = model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints')
    copy = os.path.join(folder, file_name or os.path.basename(urlparse(url).path))
    if os.path.isfile(copy):
        return load(copy, map_location)
    os.makedirs(folder, exist_ok=True)
    hash_in_name = torch.hub.HASH_REGEX.search(os.path.basename(copy)) if check_hash else None
    _download(url, copy, hash_in_name[1] if hash_in_name else None, progress)
    try:
        return load(copy, map_location)
    except CheckpointError as error:
        os.unlink(copy)
        raise type(error)(f'downloaded from {url}, and deleted again: {error}') from None


def _download(url: str, target: str, hash_prefix: str | None, progress: bool) -> None:
    try:
        torch.hub.download_url_to_file(url, target, hash_prefix, progress)
    except RuntimeError as error:  # of another hash than the name says
        raise CheckpointError(f'{url}: {error}') from None
    except (URLError, ConnectionError, TimeoutError, HTTPException) as error:
        raise ConnectionError(
            f'{url}: cannot be downloaded ({getattr(error, "reason", error)}); fetch the file by '
            'other means and give its path instead'
        ) from None


@contextmanager
def _reading(name: str) -> Iterator:
    """The allow-list for the time of one load, and one clear line where the load fails."""
    from mmengine.logging import HistoryBuffer

    def method_of_history(owner: type, method: str):
        # A HistoryBuffer pickles its statistics as getattr(HistoryBuffer, 'mean').
        if owner is not HistoryBuffer or method not in ('min', 'max', 'mean', 'current'):
            raise NotPlainError(f'getattr({owner!r}, {method!r})')
        return getattr(HistoryBuffer, method)

    def settled(value: Any) -> Any:
        return settle(value, owners=(HistoryBuffer, argparse.Namespace))

    allowed = [
        *STAND_INS,
        HistoryBuffer,
        (method_of_history, 'builtins.getattr'),
        argparse.Namespace,  # the command line, in files of DeiT's and DETR's training code
    ]
    with _lock:
        # HistoryBuffer writes the statistics named in a file into its class.
        statistics = dict(HistoryBuffer._statistics_methods)
        try:
            with _allowed(allowed):
                yield settled
        except Exception as error:
            if isinstance(error, OSError) and error.filename:
                raise
            if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
                raise
            raise _explained(name, error) from None
        finally:
            HistoryBuffer._statistics_methods.clear()
            HistoryBuffer._statistics_methods.update(statistics)


@contextmanager
def _allowed(entries: list) -> Iterator[None]:
    """Add to what the program itself allows; where both answer to a name, ours is the answer."""
    before = torch.serialization.get_safe_globals()
    ours = {_full_name(entry) for entry in entries}
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(
        [entry for entry in before if _full_name(entry) not in ours] + entries
    )
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _full_name(entry) -> str:
    return entry[1] if isinstance(entry, tuple) else f'{entry.__module__}.{entry.__qualname__}'


def _explained(name: str, error: Exception) -> Exception:
    """The error to show instead of ``error``, which torch explains with advice we do not give."""
    text = str(error)
    if 'Attempting to deserialize object on' in text:  # a GPU file on a machine without one
        return CheckpointError(f"{name}: holds tensors of a GPU; load it with map_location='cpu'")
    what = _foreign_part(text) if not isinstance(error, NotPlainError) else text
    if what:
        return UnsafeCheckpointError(
            f'{name}: refused, because it holds {what}; a checkpoint may only hold weights and '
            'plain values. If you do not trust its source, delete it; if you do, save only the '
            "weights there: torch.save({'state_dict': model.state_dict()}, FILE), or see "
            'docs/troubleshooting.md for classes of your own'
        )
    lines = [line.strip() for line in text.splitlines() if line.strip() and 'http' not in line]
    reason = lines[-1 if 'Weights only load failed' in text else 0] if lines else 'it ends too soon'
    return CheckpointError(
        f'{name}: not a readable checkpoint: cut off, or another kind of file '
        f'({type(error).__name__}: {reason[:200]})'
    )


def _foreign_part(text: str) -> str | None:
    """What torch refused, taken from its message; None where it failed for another reason."""
    refused = _REFUSED.search(text)
    if refused:
        return next(filter(None, refused.groups()))
    return 'a TorchScript program' if 'TorchScript archive' in text else None
