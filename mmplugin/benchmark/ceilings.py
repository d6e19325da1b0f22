"""What the machine can do: its matrix products on a network's own shapes, and its copies."""

from collections import Counter

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmplugin.benchmark.timing import interleaved

Shape = tuple[int, int, int]
"""Rows, columns in, columns out of a matrix product."""


@torch.no_grad()
def convolutions(
    model: nn.Module, image: Tensor
) -> tuple[Counter[Shape], list[tuple[Tensor, nn.Conv2d]]]:
    """The 1x1 convolutions of a network as products with their number, and its other convolutions.

    Args:
        model: built with ``fast=False``, whose layers are all called.
        image: (B, C, H, W).
    """
    products: Counter[Shape] = Counter()
    others: list[tuple[Tensor, nn.Conv2d]] = []

    def note(conv: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        x = inputs[0]
        if conv.kernel_size == (1, 1):
            products[x.numel() // x.shape[1], x.shape[1], output.shape[1]] += 1
        else:
            others.append((torch.randn_like(x), conv))

    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, nn.Conv2d)]
    model(image)
    for hook in hooks:
        hook.remove()
    return products, others


@torch.no_grad()
def convolution_seconds(
    model: nn.Module, image: Tensor, seconds: float, device: str
) -> tuple[float, float]:
    """Time for a network's convolutions alone, each in the fastest way, and their GFLOP.

    A 1x1 convolution is the fastest of ``F.linear``, a product into a kept buffer, a channels_last
    convolution and, on a CPU in float32, oneDNN's linear with packed weights; any other the faster
    of its two layouts. Nothing between the layers is counted: no network is below this sum, but
    for what stays in the cache from one layer to the next.
    """
    products, others = convolutions(model, image)
    share = seconds / (len(products) + len(others))
    total, flop = 0.0, 0
    for (rows, inside, outside), times in products.items():
        candidates = product_candidates(rows, inside, outside, image)
        total += times * fastest(candidates, share, device)
        flop += times * 2 * rows * inside * outside
    for x, conv in others:
        last = x.contiguous(memory_format=torch.channels_last)
        weight = conv.weight.contiguous(memory_format=torch.channels_last)
        settings = conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
        candidates = {
            'contiguous': lambda x=x, w=conv.weight, s=settings: F.conv2d(x, w, *s),
            'channels_last': lambda x=last, w=weight, s=settings: F.conv2d(x, w, *s),
        }
        total += fastest(candidates, share, device)
        flop += 2 * conv(x).numel() * conv.weight[0].numel()
    return total, flop / 1e9


def product_candidates(rows: int, inside: int, outside: int, like: Tensor) -> dict:
    """Ways to multiply (rows, inside) by (inside, outside) and to add a bias."""
    x, weight = like.new_empty(rows, inside).normal_(), like.new_empty(outside, inside).normal_()
    bias, kept = like.new_zeros(outside), like.new_empty(rows, outside)
    pixels = x.view(1, rows, 1, inside).permute(0, 3, 1, 2)
    kernel = weight[:, :, None, None]
    candidates = {
        'F.linear': lambda: F.linear(x, weight, bias),
        'kept buffer': lambda: torch.mm(x, weight.t(), out=kept),
        'conv2d': lambda: F.conv2d(pixels, kernel, bias),
    }
    if like.device.type == 'cpu' and like.dtype == torch.float32 and torch.backends.mkldnn.enabled:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        linear = torch.ops.mkldnn._linear_pointwise
        candidates['packed'] = lambda: linear(x, packed, bias, 'none', [], '')
    return candidates


def fastest(candidates: dict, seconds: float, device: str) -> float:
    """Median seconds of the best of several ways."""
    timings = interleaved(candidates, seconds, device)
    return min(timing.median for timing in timings.values())


def copy_bandwidth(device: str, seconds: float = 1.0, megabytes: int = 256) -> float:
    """Bytes a second, read and written, of a copy that no cache holds."""
    source = torch.zeros(megabytes * 2**18, device=device)
    target = torch.ones_like(source)
    timing = interleaved({'copy': lambda: target.copy_(source)}, seconds, device)['copy']
    return 2 * source.nbytes / timing.median
