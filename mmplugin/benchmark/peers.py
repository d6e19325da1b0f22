"""The networks that are compared: ours in its forms, timm's, and whatever a caller adds."""

from collections.abc import Callable

import torch
from torch import nn

from mmplugin.backbones.container import Container
from mmplugin.backbones.poolformer import PoolFormer

FAMILIES = {'poolformer': PoolFormer, 'container': Container}
FORMS = ('ours', 'plain', 'deploy', 'compiled', 'timm', 'timm-cl')
"""Ours as built by default, without fast paths, in the deploy form (inference alone), compiled;
timm's in NCHW and in channels_last (PoolFormer alone)."""


def build_ours(backbone: str, **settings) -> nn.Module:
    """A backbone of ours by family and arch, as in ``'poolformer-s12'``.

    Raises:
        ValueError: for another family or arch.
    """
    family, _, arch = backbone.partition('-')
    if family not in FAMILIES:
        raise ValueError(f'{backbone!r} is no backbone; name FAMILY-ARCH, as in poolformer-s12')
    return FAMILIES[family](arch, **settings)


def build_peer(
    name: str, backbone: str, others: dict[str, Callable[[str], nn.Module]]
) -> tuple[nn.Module, torch.memory_format] | None:
    """A network in eval mode with the layout of its images; None where a peer has no such network.

    Args:
        name: one of ``FORMS`` or of ``others``.
        backbone: as in ``build_ours``.
        others: further peers: (backbone) -> network.

    Raises:
        ValueError: for a name that is neither.
    """
    layout = torch.contiguous_format
    if name in others:
        model = others[name](backbone)
    elif name in ('timm', 'timm-cl'):
        if not backbone.startswith('poolformer-'):
            return None
        import timm

        model = timm.create_model(backbone.replace('-', '_'), features_only=True)
        layout = torch.channels_last if name == 'timm-cl' else layout
        model = model.to(memory_format=layout)
    elif name in FORMS:
        model = build_ours(backbone, fast=name != 'plain').eval()
        model = model.deploy() if name == 'deploy' else model
        if name == 'compiled':
            model.compile()
    else:
        raise ValueError(f'{name!r} is no peer; choose from {", ".join((*FORMS, *others))}')
    return model.eval(), layout
