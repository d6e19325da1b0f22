"""Backbones that are compared: ours in its forms, timm's, and whatever a caller adds."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmplugin.backbones.container import Container
from mmplugin.backbones.poolformer import PoolFormer
from mmplugin.benchmark.work import Peer, Work

FAMILIES = {'poolformer': PoolFormer, 'container': Container}
FORMS = ('ours', 'plain', 'triton', 'deploy', 'compiled', 'timm', 'timm-cl')
"""Ours as built by default, without fast paths, with ``fast='triton'`` (PoolFormer alone), in the
deploy form (inference alone), compiled; timm's in NCHW and in channels_last (PoolFormer alone)."""

FAST = {'plain': False, 'triton': 'triton'}
"""The switch of ours where it is not the default."""


def build_ours(backbone: str, **settings) -> nn.Module:
    """A backbone of ours by family and arch, as in ``'poolformer-s12'``.

    Raises:
        ValueError: for another family or arch.
    """
    family, _, arch = backbone.partition('-')
    if family not in FAMILIES:
        raise ValueError(f'{backbone!r} is no backbone; name FAMILY-ARCH, as in poolformer-s12')
    return FAMILIES[family](arch, **settings)


def build_timm(backbone: str, **settings) -> nn.Module:
    """timm's network of the same name, with the maps of its stages as outputs."""
    import timm

    return timm.create_model(backbone.replace('-', '_'), features_only=True, **settings)


class BackboneCase:
    """A backbone by name, and its peers.

    Args:
        name: as in ``build_ours``.
        others: further peers: (backbone) -> network.
    """

    def __init__(self, name: str, others: dict[str, Callable[[str], nn.Module]]) -> None:
        self.name = name
        self.others = others

    def peer(self, form: str, work: Work) -> Peer | None:
        """A network that is ready to run; None where a peer has no such network.

        Args:
            form: one of ``FORMS`` or of ``others``.
            work: what it is to do.

        Raises:
            ValueError: for a form that is neither.
        """
        model = self.build(form, work)
        if model is None:
            return None
        model = model.to(work.device, work.stored).train(work.training)
        layout = torch.channels_last if form == 'timm-cl' else work.layout
        model = model.to(memory_format=layout) if form == 'timm-cl' else model
        return ready_peer(model, [random_images(work._replace(layout=layout))], work)

    def build(self, form: str, work: Work) -> nn.Module | None:
        """The network of a form in its initial state."""
        if form in self.others:
            return self.others[form](self.name)
        if form not in FORMS:
            known = ', '.join((*FORMS, *self.others))
            raise ValueError(f'{form!r} is no peer; choose from {known}')
        pools = self.name.startswith('poolformer-')
        if form in ('triton', 'timm', 'timm-cl') and not pools:
            return None
        if form in ('timm', 'timm-cl'):
            return build_timm(self.name)
        if form == 'deploy' and work.training:
            return None
        model = build_ours(self.name, fast=FAST.get(form, True))
        if form == 'deploy':
            model.eval().deploy()
        if form == 'compiled':
            model.compile()
        return model


def random_images(work: Work) -> Tensor:
    """Images for a work, the same for the same work."""
    torch.manual_seed(0)
    images = torch.randn(work.batch, 3, *work.shape, device=work.device, dtype=work.stored)
    return images.contiguous(memory_format=work.layout)


def ready_peer(
    model: nn.Module, inputs: Sequence[Tensor], work: Work, moved: int | None = None
) -> Peer:
    """One inference, or one forward and backward pass from gradients of one.

    Args:
        model: in the mode of the work.
        inputs: of the model, in order.
        work: what it is to do.
        moved: see ``Peer``.
    """
    leaves = [*model.parameters(), *inputs]
    gradients: list[Tensor] = []  # made by the first step

    def forward():
        with torch.set_grad_enabled(work.training), work.autocast():
            return model(*inputs)

    def train():
        for leaf in leaves:
            leaf.grad = None
        outputs = forward()
        if not gradients:
            gradients.extend(torch.ones_like(output) for output in outputs)
        torch.autograd.backward(outputs, gradients)

    return Peer(model, forward, train if work.training else forward, inputs, moved)
