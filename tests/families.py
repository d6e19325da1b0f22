"""Every registered backbone family and every variant of it, for tests that hold for all."""

import sys

from mmplugin.registry import MODELS

TINY = dict(depths=(1, 2, 1, 1), embed_dims=(8, 16, 24, 32), mlp_ratios=(2, 2, 2, 2))


def families() -> dict[str, type]:
    """Name -> class of every registered backbone."""
    MODELS.import_from_location()
    return {
        name: cls
        for name, cls in MODELS.module_dict.items()
        if cls.__module__.startswith('mmplugin.backbones')
    }


def variants() -> list[tuple[str, str]]:
    """(family, arch name) of every variant table."""
    return [
        (n, arch) for n, cls in families().items() for arch in sys.modules[cls.__module__].VARIANTS
    ]
