"""Downloading one file: resumed, checked, and moved into place only when it is whole."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from torch.hub import tqdm

from mmplugin.files import PARTIAL, move_into_place
from mmplugin.weights.writing import sha256_of

PIECE = 1 << 20  # bytes read at a time
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be better next time


class DownloadError(ValueError):
    """This URL does not give the file; the message says why."""


class _Interrupted(Exception):
    """The connection failed on the way; trying again may help."""


def download(
    url: str,
    target: Path,
    sha256: str | None = None,
    progress: bool = True,
    attempts: int = 3,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> None:
    """Download a file.

    What has come stays in ``TARGET.partial`` when the connection fails, and the next attempt, also
    one of a later call, asks for the rest: with an HTTP range, and on condition that the server's
    file is still the same.

    Args:
        url: http or https.
        target: the file to make; its folder is made too.
        sha256: of the file, or its first digits. Default None: not checked.
        progress: show a bar on stderr. Default True.
        attempts: how often to connect in all. Default 3.
        pause: seconds before the second attempt, twice as long before each further one.
        timeout: seconds without an answer after which a connection counts as failed.

    Raises:
        DownloadError: refused, interrupted to the last attempt, a web page instead of a file, or of
            another hash.
    """
    if not url.startswith(('http://', 'https://')):
        raise DownloadError(f'{url}: not a http or https address')
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + PARTIAL)
    for attempt in range(attempts):
        try:
            _receive(url, partial, progress, timeout)
            break
        except _Interrupted as error:
            if attempt + 1 == attempts:
                raise DownloadError(f'{url}: {error} ({attempts} attempts)') from None
            time.sleep(pause * 2**attempt)
    found = sha256_of(partial)
    if sha256 is not None and not found.startswith(sha256):
        _forget(partial)
        raise DownloadError(f'{url}: the file has SHA-256 {found}, expected {sha256}')
    move_into_place(partial, target)
    _forget(partial)


def _note_of(partial: Path) -> Path:
    return partial.with_name(f'{partial.name}.json')


def _forget(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _note_of(partial).unlink(missing_ok=True)


def _resumable(url: str, partial: Path) -> tuple[int, str | None]:
    """How many bytes are there already, and by what the server knows whether they still hold."""
    try:
        note = json.loads(_note_of(partial).read_text(encoding='utf-8'))
        if note['url'] == url and isinstance(note['validator'], str):
            return partial.stat().st_size, note['validator']
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no earlier attempt, or a damaged note: from the beginning
    return 0, None


def _receive(url: str, partial: Path, progress: bool, timeout: float) -> None:
    have, validator = _resumable(url, partial)
    request = urllib.request.Request(url, headers={'User-Agent': 'mmplugin'})
    if have and validator:
        request.add_header('Range', f'bytes={have}-')
        request.add_header('If-Range', validator)
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # more is here than the server has
            _forget(partial)
            raise _Interrupted('the server has a shorter file') from None
        if error.code in PASSING:
            raise _Interrupted(f'{error.code} {error.reason}') from None
        raise DownloadError(f'{url}: {error.code} {error.reason}') from None
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_reason(error)) from None
    with answer:
        if answer.headers.get_content_type() == 'text/html':
            raise DownloadError(f'{url}: answers with a web page instead of a file')
        if answer.status != 206:
            have = 0
        elif not answer.headers.get('Content-Range', '').startswith(f'bytes {have}-'):
            _forget(partial)
            raise _Interrupted('the server sent another part of the file than asked for')
        length = answer.headers.get('Content-Length')
        total = have + int(length) if length and length.isdigit() else None
        _write(url, answer, partial, have, total, progress)


def _write(url: str, answer, partial: Path, have: int, total: int | None, progress: bool) -> None:
    etag = answer.headers.get('ETag')
    strong = etag if etag and not etag.startswith('W/') else None
    note = {'url': url, 'validator': strong or answer.headers.get('Last-Modified')}
    name = partial.name.removesuffix(PARTIAL)
    with (
        open(partial, 'ab' if have else 'wb') as file,
        tqdm(
            total=total, initial=have, desc=name, unit='B', unit_scale=True, disable=not progress
        ) as bar,
    ):
        # only now: a note never speaks of bytes that came from elsewhere
        _note_of(partial).write_text(json.dumps(note), encoding='utf-8')
        for piece in _pieces(answer):
            file.write(piece)
            have += len(piece)
            bar.update(len(piece))
    if total is not None and have != total:
        raise _Interrupted(f'the connection ended after {have} of {total} bytes')


def _pieces(answer) -> Iterator[bytes]:
    while True:
        try:
            piece = answer.read1(PIECE)
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(_reason(error)) from None
        if not piece:
            return
        yield piece


def _reason(error: Exception) -> str:
    reason = getattr(error, 'reason', None) or error
    return f'{type(reason).__name__}: {reason}' if isinstance(reason, Exception) else str(reason)
