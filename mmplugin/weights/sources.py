"""From what a user may write for a weight file to the file itself."""

import os
from pathlib import Path

from mmplugin.weights.fetch import fetch, fetch_url
from mmplugin.weights.hub import fetch_hub


def locate(source: str) -> Path:
    """The local file of a path, URL or name; the last two are downloaded unless they are there.

    Args:
        source: a path, ``http(s)://...``, ``mmplugin://NAME``, ``timm://NAME`` or
            ``hf://OWNER/NAME``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a folder, or a URL or name that gives no file.
    """
    if source.startswith('mmplugin://'):
        return fetch(source.removeprefix('mmplugin://'))
    if source.startswith(('timm://', 'hf://')):
        return fetch_hub(source)
    if source.startswith(('http://', 'https://')):
        return fetch_url(source)
    path = Path(os.path.expanduser(source))
    if path.is_dir():
        raise ValueError(f'{source}: is a folder; give the weight file in it')
    if not path.is_file():
        raise FileNotFoundError(
            f'{source}: no such file (looked from {Path.cwd()}); names are written '
            'mmplugin://NAME, timm://NAME or hf://OWNER/NAME'
        )
    return path
