"""Weights of the Hugging Face hub by name: ``timm://NAME`` and ``hf://OWNER/NAME``."""

import os
import re
from pathlib import Path

from mmplugin.weights.fetch import cache_folder, first_that_works, is_offline

FILES = ('model.safetensors', 'pytorch_model.bin')  # what timm and transformers call them
NAME = re.compile(
    r'(?:timm://(?P<name>[\w.-]+)|hf://(?P<repo>[\w.-]+/[\w.-]+))(?:@(?P<rev>[\w.-]+))?'
)


def fetch_hub(address: str, progress: bool = True, pause: float = 1.0) -> Path:
    """The weight file of a hub repository.

    A file that timm or transformers fetched before is used. Otherwise it is downloaded to
    ``cache_folder()``.

    Args:
        address: ``timm://poolformer_s12.sail_in1k``, ``hf://sail/poolformer_s12``, either with
            ``@REVISION`` behind it.
        progress: show a bar on stderr. Default True.
        pause: seconds before a second attempt. Default 1.

    Raises:
        ValueError: for an address of another form, a repository without weights or out of reach,
            or a missing package.
    """
    match = NAME.fullmatch(address)
    if match is None:
        raise ValueError(
            f'{address}: write timm://NAME, as in timm://poolformer_s12.sail_in1k, or '
            'hf://OWNER/NAME, with @REVISION behind it if need be'
        )
    repository, revision = match['repo'] or f'timm/{match["name"]}', match['rev']
    try:
        from huggingface_hub import hf_hub_url, try_to_load_from_cache
    except ImportError:
        raise ValueError(
            f'{address}: names on the hub take the package huggingface_hub; install it with '
            '`pip install huggingface_hub`'
        ) from None
    endpoint = os.environ.get('HF_ENDPOINT')
    sources = []
    for file in FILES:
        cached = try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):  # else None, or a mark that there is no such file
            return Path(cached)
        own = '--'.join([*repository.split('/'), *([revision] if revision else []), file])
        if (cache_folder() / own).is_file():
            return cache_folder() / own
        url = hf_hub_url(repository, file, revision=revision, endpoint=endpoint)
        sources.append((url, cache_folder() / own, None))
    by_hand = f'download {sources[0][0]} by hand and give its path'
    if is_offline():
        raise ValueError(f'{address}: is not on this machine, and offline mode is on; {by_hand}')
    return first_that_works(address, sources, by_hand, progress, pause)
