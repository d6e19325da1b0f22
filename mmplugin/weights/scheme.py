"""Names for weights wherever mmengine takes a checkpoint: ``init_cfg``, ``load_from``, tools.

``mmplugin://NAME`` is a row of ``mmplugin.weights.zoo``; ``timm://NAME`` and ``hf://OWNER/NAME``
are repositories of the Hugging Face hub. Files and URLs that end in ``.safetensors`` are read too.
``import mmplugin`` has this module imported together with mmengine's loaders.
"""

from typing import Any

from mmengine.runner.checkpoint import CheckpointLoader


def load_any(source: str, map_location: Any = 'cpu') -> Any:
    """What a file, URL or name holds, through mmengine's loaders.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such name, or no readable checkpoint.
    """
    return CheckpointLoader.load_checkpoint(source, map_location, logger='silent')


def _load_named(filename: str, map_location: Any = None) -> Any:
    from mmplugin.weights.fetch import fetch

    return load_any(str(fetch(filename.removeprefix('mmplugin://'))), map_location)


def _load_hub(filename: str, map_location: Any = None) -> Any:
    from mmplugin.weights.hub import fetch_hub

    return load_any(str(fetch_hub(filename)), map_location)


def _load_safetensors(filename: str, map_location: Any = None) -> Any:
    from mmplugin.weights.safetensors_file import load_safetensors

    return load_safetensors(filename, str(map_location or 'cpu'))


def _load_safetensors_url(filename: str, map_location: Any = None) -> Any:
    from mmplugin.weights.fetch import fetch_url

    return _load_safetensors(str(fetch_url(filename)), map_location)


# mmengine takes the prefixes as regular expressions, and of several that match the one that sorts
# last: `https?` before `https:`, and both before `.*`
for prefix, loader in {
    'mmplugin://': _load_named,
    'timm://': _load_hub,
    'hf://': _load_hub,
    r'https?://.*\.safetensors$': _load_safetensors_url,
    r'.*\.safetensors$': _load_safetensors,
}.items():
    CheckpointLoader.register_scheme(prefix, loader, force=True)
