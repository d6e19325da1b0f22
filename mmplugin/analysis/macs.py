"""Multiply-accumulates (MACs) of a model, part by part."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


class Cost(NamedTuple):
    """What one part of a model costs."""

    name: str
    params: int
    """All parameters."""
    trainable: int
    """Those not frozen. Tables made with mmdet's own tool (RetinaNet 37.74 M) count these."""
    macs: int
    """Of convolutions, linear layers and matrix products, those of attention included."""


class Uncomputed(TorchDispatchMode):
    """Within it, ops that cost MACs give zeros of the right shape instead of being computed.

    A count needs the shapes alone, and these ops are nearly all of the time. All others run, so
    that models which look at values (the levels of regions, the best of the queries) still work.
    """

    def __init__(self, counter: FlopCounterMode):
        super().__init__()
        self.counter = counter

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func._overloadpacket not in self.counter.flop_registry:
            return func(*args, **kwargs)
        shapes = tree_map_only(torch.Tensor, lambda x: x.to('meta'), (args, kwargs))
        out = func(*shapes[0], **shapes[1])
        device = next(x.device for x in args if isinstance(x, torch.Tensor))
        return tree_map_only(torch.Tensor, lambda x: torch.zeros_like(x, device=device), out)


def parts_of(model: nn.Module) -> dict[str, nn.Module]:
    """The rows of a cost table: the children that have parameters, and those of a RoI head."""
    parts = {}
    for name, child in model.named_children():
        inner = child.named_children() if name == 'roi_head' else [(None, child)]
        for key, part in inner:
            if any(True for _ in part.parameters()):
                parts[name if key is None else f'{name}.{key}'] = part
    return parts


def count(model: nn.Module, call: Callable[[], object]) -> tuple[list[Cost], Cost]:
    """Count the cost of a model over one forward pass.

    One multiply and its addition are one MAC, as in the tables of the field. Norms, activations,
    pooling, interpolation and other elementwise work count nothing; nor do sampling ops
    (RoIAlign, deformable convolution and attention sampling).

    Args:
        model: on any device, in eval mode.
        call: runs the forward pass to be counted.

    Returns:
        The cost of each of ``parts_of(model)``, and of the whole model.
    """
    # the CPU's fused attention is not among the ops the counter knows
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}
    counter = FlopCounterMode(display=False, custom_mapping=fused)
    parts = parts_of(model)
    flops = dict.fromkeys(parts, 0)
    restore = []
    for name, part in parts.items():
        for module in part if isinstance(part, nn.ModuleList) else (part,):
            restore.append(module)
            module.forward = metered(module.forward, counter, flops, name)
    # torch's module tracker stumbles over views of parameters, as Deformable DETR's queries are
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one op of unknown cost otherwise
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        with torch.no_grad(), Uncomputed(counter), counter:
            call()
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        torch.backends.mha.set_fastpath_enabled(fastpath)
        for module in restore:
            del module.forward
    costs = [Cost(name, *sizes(part), flops[name] // 2) for name, part in parts.items()]
    return costs, Cost('whole model', *sizes(model), counter.get_total_flops() // 2)


def attention_flops(query, key, value, *settings, out_shape=None, **options) -> int:
    """FLOPs of attention from the shapes of its inputs, in the form the counter calls."""
    return sdpa_flop_count(query, key, value)


def metered(
    forward: Callable, counter: FlopCounterMode, flops: dict[str, int], name: str
) -> Callable:
    """``forward`` that adds what it cost to ``flops[name]``.

    Not a hook: heads of mmdet and mmseg are run by ``head.forward(...)``, which calls no hooks.
    """

    def run(*args, **kwargs):
        before = counter.get_total_flops()
        out = forward(*args, **kwargs)
        flops[name] += counter.get_total_flops() - before
        return out

    return run


def sizes(module: nn.Module) -> tuple[int, int]:
    """Number of parameters, and of those that are trained."""
    params = list(module.parameters())
    return sum(p.numel() for p in params), sum(p.numel() for p in params if p.requires_grad)
