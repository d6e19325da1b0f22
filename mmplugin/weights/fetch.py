"""From the name of published weights to a file on this machine."""

import hashlib
import os
from pathlib import Path
from urllib.parse import urlparse

import torch
from filelock import FileLock

from mmplugin.weights import zoo
from mmplugin.weights.download import DownloadError, download
from mmplugin.weights.writing import sha256_of


def cache_folder() -> Path:
    """Where downloads lie: torch.hub's folder, so that files it has fetched are found again.

    ``TORCH_HOME`` moves it, as for everything else of torch.
    """
    return Path(torch.hub.get_dir()) / 'checkpoints'


def is_offline() -> bool:
    """Whether ``MMPLUGIN_OFFLINE`` or Hugging Face's ``HF_HUB_OFFLINE`` forbids the network."""
    yes = ('1', 'on', 'yes', 'true')
    names = ('MMPLUGIN_OFFLINE', 'HF_HUB_OFFLINE')
    return any(os.environ.get(name, '').lower() in yes for name in names)


def fetch(
    name: str,
    folder: str | Path | None = None,
    offline: bool = False,
    progress: bool = True,
    pause: float = 1.0,
) -> Path:
    """The file of published weights, downloaded unless it is there.

    Args:
        name: a row of ``mmplugin.weights.zoo``, e.g. ``'poolformer-s12_in1k'``.
        folder: where files are looked for and put. Default: ``cache_folder()``.
        offline: use no network, as when ``is_offline()``. Default False.
        progress: show a bar on stderr. Default True.
        pause: seconds before a second attempt at one URL. Default 1.

    Raises:
        ValueError: an unknown name; a file that has to be fetched or made by hand, or with offline
            mode or every URL failing: names the URL, and the path to put the file at.
    """
    row = zoo.look_up(name)
    folder = cache_folder() if folder is None else Path(folder)
    by_hand = f'and put it at {folder / row.file}'
    if (there := _present(row, folder)) is not None:
        return there
    if not row.page:
        raise ValueError(
            f'{name}: {row.note}, {by_hand}, or name it (--cfg-options '
            'model.backbone.init_cfg.checkpoint=FILE)'
        )
    if not row.sources:
        raise ValueError(
            f'{name}: its authors give no direct URL; download it by hand from {row.page} {by_hand}'
        )
    by_hand = f'download {row.sources[0].url} by hand {by_hand}'
    if offline or is_offline():
        raise ValueError(f'{name}: is not in {folder}, and offline mode is on; {by_hand}')
    sources = [(source.url, folder / source.file, source.sha256) for source in row.sources]
    return first_that_works(name, sources, by_hand, progress, pause)


def fetch_url(url: str, progress: bool = True, pause: float = 1.0) -> Path:
    """The file of a URL in ``cache_folder()``, downloaded unless it is there.

    Its name there begins with eight digits of the URL's SHA-256: many hosts call every file
    ``model.safetensors``.

    Raises:
        ValueError: it names no file, cannot be downloaded, or is not there in offline mode.
    """
    name = os.path.basename(urlparse(url).path)
    if not name:
        raise ValueError(f'{url}: names no file')
    target = cache_folder() / f'{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}'
    if target.is_file():
        return target
    by_hand = f'download it by hand and give its path, or put it at {target}'
    if is_offline():
        raise ValueError(f'{url}: is not in {target.parent}, and offline mode is on; {by_hand}')
    return first_that_works(url, [(url, target, None)], by_hand, progress, pause)


def _present(row: zoo.Weights, folder: Path) -> Path | None:
    """The file of one of the row's sources, if it is in the folder.

    Raises:
        ValueError: it is there and has another hash than the table says.
    """
    known = {source.file: source.sha256 for source in row.sources}
    for file, sha256 in {row.file: None, **known}.items():
        path = folder / file
        if not path.is_file():
            continue
        if sha256 is not None and not (found := sha256_of(path)).startswith(sha256):
            raise ValueError(
                f'{path}: has SHA-256 {found}, and {row.name} should have {sha256}; delete it'
            )
        return path
    return None


def first_that_works(
    name: str,
    sources: list[tuple[str, Path, str | None]],
    by_hand: str,
    progress: bool,
    pause: float,
) -> Path:
    """Try (URL, target, SHA-256) in turn."""
    folder = sources[0][1].parent
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    # the processes of one run, and runs that share the folder, wait for the first of them
    with FileLock(folder / f'{sources[0][1].name}.lock'):
        there = next((target for _, target, _ in sources if target.is_file()), None)
        if there is not None:
            return there
        for url, target, sha256 in sources:
            try:
                download(url, target, sha256, progress, pause=pause)
                return target
            except DownloadError as error:
                reasons.append(str(error))
    raise ValueError(f'{name}: cannot be downloaded; {by_hand} ({"; ".join(reasons)})')
