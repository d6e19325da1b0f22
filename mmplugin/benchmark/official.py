"""The structure of the released code, layer by layer, as the tests restate it."""

import importlib
import sys
from pathlib import Path

from torch import nn

from mmplugin.backbones.poolformer import VARIANTS

REPOSITORY = Path(__file__).resolve().parents[2]


def build_official(backbone: str) -> nn.Module:
    """The released structure of a network; it lies with the tests, which are not installed.

    Raises:
        ValueError: for a network without one, or outside a clone of the repository.
    """
    if not (REPOSITORY / 'tests' / 'reference').is_dir():
        raise ValueError('--peers official needs a clone of the repository')
    if str(REPOSITORY) not in sys.path:
        sys.path.insert(0, str(REPOSITORY))
    family, _, arch = backbone.partition('-')
    if family == 'poolformer' and arch in VARIANTS:
        settings = VARIANTS[arch]
        module = importlib.import_module('tests.reference.poolformer')
        return module.OfficialPoolFormer(settings['depths'], settings['embed_dims'])
    if backbone == 'container-light':
        return importlib.import_module('tests.reference.container').ReleasedContainer()
    known = ', '.join((*(f'poolformer-{name}' for name in VARIANTS), 'container-light'))
    raise ValueError(f'{backbone!r} has no released structure to compare with, but {known}')


def build_official_compiled(backbone: str) -> nn.Module:
    """The same under ``torch.compile``, which needs a C++ compiler."""
    model = build_official(backbone)
    model.compile()
    return model
