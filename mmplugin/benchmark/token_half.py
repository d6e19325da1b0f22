"""The token halves of a PoolFormer alone: norm, pooling, subtraction, scale and residual."""

import torch
from torch import Tensor, nn

from mmplugin.benchmark.peers import FAST, build_ours, ready_peer
from mmplugin.benchmark.work import Peer, Work
from mmplugin.ops.layouts import channels_last_inside

SUFFIX = '-tokens'
"""Behind the name of a PoolFormer."""
FORMS = ('plain', 'ours', 'triton', 'compiled')
"""Layer by layer in NCHW, as released; as built by default; with ``fast='triton'``; compiled."""


class TokenHalves(nn.Module):
    """The token half of the first block of each stage."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(stage.blocks[0] for stage in backbone.stages)

    def forward(self, *maps: Tensor) -> list[Tensor]:
        return [block.mix_tokens(x) for block, x in zip(self.blocks, maps)]


class TokenHalfCase:
    """One token half a stage, each on the map that its stage has of an image.

    Alone it reads a map twice, since the statistics of all of it come first, and writes it once.
    Its gradient needs a sum over map and gradient first: both are read twice, one map is written.

    Args:
        name: ``'poolformer-s12-tokens'`` and so on.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def peer(self, form: str, work: Work) -> Peer:
        """Token halves that are ready to run.

        Args:
            form: one of ``FORMS``.
            work: what they are to do; its shape is that of the images.

        Raises:
            ValueError: for another form, or a network that is no PoolFormer.
        """
        if form not in FORMS:
            raise ValueError(f'{form!r} is no peer of a token half; choose from {", ".join(FORMS)}')
        if not self.name.startswith('poolformer-'):
            raise ValueError(f'{self.name!r}: only a PoolFormer has such token halves')
        fast = FAST.get(form, True)
        backbone = build_ours(self.name.removesuffix(SUFFIX), fast=fast)
        model = TokenHalves(backbone).to(work.device, work.stored).train(work.training)
        if form == 'compiled':
            model.compile()
        maps = maps_of(backbone.out_channels, work, fast)
        moved = sum(x.nbytes for x in maps) * (8 if work.training else 3)
        return ready_peer(model, maps, work, moved)


def maps_of(channels: tuple[int, ...], work: Work, fast: bool | str) -> list[Tensor]:
    """One map a stage in the layout that the backbone would give it; always the same."""
    torch.manual_seed(0)
    height, width = ((n + 1) // 4 for n in work.shape)
    maps = []
    for dim in channels:
        x = torch.randn(work.batch, dim, height, width, device=work.device, dtype=work.stored)
        if channels_last_inside(fast, x):
            x = x.contiguous(memory_format=torch.channels_last)
        maps.append(x.requires_grad_(work.training))
        height, width = (height + 1) // 2, (width + 1) // 2
    return maps
