"""Where a network stands between the machine's arithmetic and its memory."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from mmplugin.benchmark.between import between_seconds, betweens_of
from mmplugin.benchmark.ceilings import layer_seconds, layers_of, watching
from mmplugin.benchmark.work import Peer, Work
from mmplugin.block import MetaFormerBlock
from mmplugin.metaformer import MetaFormer


class FlopCount(TorchDispatchMode):
    """Within it, adds up the FLOP of matrix products, convolutions and attention: two for a
    multiplication and its addition. Unlike torch's own counter it tracks no modules, which
    stumbles over some of mmdet's."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if packet in FORMULAS:
            self.total += FORMULAS[packet](*args)
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        return out


def attention_flop(query: Tensor, key: Tensor, value: Tensor, *settings) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def attention_backward_flop(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *settings
) -> int:
    return sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape)


def convolution_backward_flop(grad: Tensor, x: Tensor, weight: Tensor, *settings) -> int:
    *_, transposed, _, _, wanted = settings  # of x, weight and bias
    return sum(wanted[:2]) * 2 * (x if transposed else grad).numel() * weight[0].numel()


# torch lacks the CPU's fused attention, and counts grouped convolutions as if they were not
FORMULAS = {
    torch.ops.aten.convolution_backward: convolution_backward_flop,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flop,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flop,
}


def count_flop(call: Callable[[], object]) -> int:
    """FLOP of the products in one call."""
    with FlopCount() as counter:
        call()
    return counter.total


def least_bytes(peer: Peer, work: Work) -> int | None:
    """Bytes that have to be moved if no map stays in a cache; None where that is not counted.

    Of backbones of ours: with ideal fusion each patch embedding, each of the two halves of a block
    and each output norm reads its map once and writes its map once (halves are not fused with each
    other: a norm over the whole map stands between those of PoolFormer). In training the backward
    pass of each reads its input and the gradient of its output once more and writes the gradient
    of its input, which the stem needs not. Weights are read once a pass and their gradients written
    once.

    Args:
        peer: built with ``fast=False``, whose layers are all called.
        work: of it counts the dtype, and whether it is training.
    """
    model = peer.model
    if not isinstance(model, MetaFormer):
        return peer.moved
    elements = sum(p.numel() for p in model.parameters()) * (3 if work.training else 1)

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal elements
        read, written = inputs[0].numel(), output.numel()
        passes = read + written
        if work.training:
            passes += read + written + (0 if module is model.stem else read)
        elements += passes * (2 if isinstance(module, MetaFormerBlock) else 1)

    units = [model.stem, *model.norms.values()]
    for stage in model.stages:
        units += [stage.downsample, *stage.blocks]
    with watching((m for m in units if not isinstance(m, nn.Identity)), note):
        peer.forward()
    return elements * work.dtype.itemsize


def roofline(peer: Peer, work: Work, bandwidth: float, seconds: float) -> dict:
    """What the machine needs at least for the products of a network, and for its bytes.

    Args:
        peer: built with ``fast=False``.
        work: what it does.
        bandwidth: measured, in bytes a second.
        seconds: to spend on measuring the products, about.

    Returns:
        ``gflop`` of one step; ``products_ms``: its convolutions and linear layers alone, see
        ``layer_seconds``, attention added at their rate; ``between_ms``: see ``between_seconds``,
        for backbones of ours on a CPU; ``gb`` and ``bytes_ms``: see ``least_bytes``; ``bound``:
        the longer of products and bytes. What is not counted is None.
    """
    flop = count_flop(peer.step)
    layers = layers_of(peer.model, peer.forward)
    least, layer_flop = layer_seconds(layers, seconds, work)
    products = least * max(1.0, flop / max(layer_flop, 1)) * 1e3
    position = dict(gflop=flop / 1e9, products_ms=products, between_ms=None)
    position.update(gb=None, bytes_ms=None, bound='products')
    if isinstance(peer.model, MetaFormer) and work.device == 'cpu':
        found = betweens_of(peer.model, peer.forward)
        position['between_ms'] = between_seconds(found, seconds, work) * 1e3
    moved = least_bytes(peer, work)
    if moved is not None:
        position.update(gb=moved / 1e9, bytes_ms=moved / bandwidth * 1e3)
        position['bound'] = 'bytes' if position['bytes_ms'] > products else 'products'
    return position
