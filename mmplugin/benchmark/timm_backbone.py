"""timm's PoolFormer as a backbone of a detector or segmentor, with the weights of ours."""

import torch
from torch import Tensor, nn

from mmplugin.backbones.poolformer import PoolFormer
from mmplugin.benchmark.peers import build_timm

UNDERSTOOD = {'type', 'arch', 'out_indices', 'init_cfg', 'strict_load', 'fast'}
"""Settings of our backbone that timm's has too, or has no need of."""


class TimmPoolFormer(nn.Module):
    """timm's ``features_only`` network with an output norm a stage, as ours has.

    Args:
        arch: ``'s12'`` and so on.
        ours: a PoolFormer of ours of that arch, whose outputs and weights it gets.
        layout: of maps and kernels; the image is converted to it.
    """

    def __init__(self, arch: str, ours: PoolFormer, layout: torch.memory_format) -> None:
        super().__init__()
        self.layout = layout
        self.trunk = build_timm(f'poolformer-{arch}', out_indices=tuple(sorted(ours.out_indices)))
        self.norms = nn.ModuleList(nn.GroupNorm(1, dim) for dim in ours.out_channels)
        trunk = {
            key.replace('stages.', 'stages_', 1): value
            for key, value in ours.state_dict().items()
            if not key.startswith('norms.')
        }
        self.trunk.load_state_dict(trunk)
        for mine, index in zip(self.norms, ours.out_indices):
            mine.load_state_dict(ours.norms[str(index)].state_dict())
        self.to(memory_format=layout)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to one (B, C_i, H_i, W_i) for each output stage."""
        maps = self.trunk(x.contiguous(memory_format=self.layout))
        return tuple(norm(m) for norm, m in zip(self.norms, maps))


def timm_twin(settings: dict, ours: nn.Module, layout: torch.memory_format) -> TimmPoolFormer:
    """timm's network in place of a backbone of a config.

    Args:
        settings: of the backbone in the config.
        ours: the backbone built from them.
        layout: see ``TimmPoolFormer``.

    Raises:
        ValueError: for a backbone that timm does not have, or settings that its form lacks.
    """
    if not isinstance(ours, PoolFormer) or not isinstance(settings['arch'], str):
        raise ValueError('timm has only the PoolFormers s12, s24, s36, m36 and m48 of ours')
    foreign = sorted(settings.keys() - UNDERSTOOD)
    if foreign or ours.out_indices != tuple(sorted(ours.out_indices)):
        raise ValueError(f"timm's backbone has no counterpart of {foreign or 'this output order'}")
    return TimmPoolFormer(settings['arch'], ours, layout)
