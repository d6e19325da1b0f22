"""What the machine can do: its matrix products on a network's own shapes, and its copies."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmplugin.benchmark.timing import interleaved
from mmplugin.benchmark.work import Work

Ways = dict[str, tuple[Callable[[], object], float]]
"""By name: a call, and how many times its seconds the layer takes."""
MOST_ROWS = 16384
"""Of the product that stands for a convolution: unfolded, its input would be many times larger."""


class Product(NamedTuple):
    """A matrix (rows, inside) times a matrix (inside, outside), and a bias."""

    rows: int
    inside: int
    outside: int

    @property
    def flop(self) -> int:
        return 2 * self.rows * self.inside * self.outside


class Conv(NamedTuple):
    """A convolution that looks at neighbours."""

    image: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    product: Product
    """Of the same arithmetic."""

    @property
    def flop(self) -> int:
        return self.product.flop


class Use(NamedTuple):
    """A layer and what training asks of it."""

    layer: Product | Conv
    wants_input: bool
    wants_weight: bool


def layers_of(model: nn.Module, forward: Callable[[], object]) -> Counter[Use]:
    """The convolutions and linear layers of a network, with how often each shape occurs.

    Args:
        model: built with ``fast=False``, whose layers are all called.
        forward: runs it once; without gradients nothing counts as asked for.
    """
    uses: Counter[Use] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        graded = torch.is_grad_enabled()
        asked = graded and inputs[0].requires_grad, graded and module.weight.requires_grad
        uses[Use(layer_of(module, inputs[0], output), *asked)] += 1

    kinds = nn.Conv2d, nn.ConvTranspose2d, nn.Linear
    with watching((m for m in model.modules() if isinstance(m, kinds)), note):
        forward()
    return uses


@contextlib.contextmanager
def watching(modules: Iterable[nn.Module], note: Callable[..., None]) -> Iterator[None]:
    """Within it, ``note`` gets every call of these modules: (module, inputs, output)."""
    hooks = [module.register_forward_hook(note) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def layer_of(module: nn.Module, x: Tensor, y: Tensor) -> Product | Conv:
    if isinstance(module, nn.Linear):
        return Product(x.numel() // x.shape[-1], module.in_features, module.out_features)
    weight = module.weight
    if isinstance(module, nn.ConvTranspose2d):
        return Product(x.numel() // x.shape[1], x.shape[1], weight[0].numel())
    product = Product(y.numel() // y.shape[1], weight[0].numel(), y.shape[1])
    if module.kernel_size == (1, 1) and module.stride == (1, 1):
        return product
    settings = module.stride, module.padding, module.dilation, module.groups
    return Conv(tuple(x.shape), tuple(weight.shape), *settings, product)


@torch.no_grad()
def layer_seconds(uses: Counter[Use], seconds: float, work: Work) -> tuple[float, int]:
    """Time for the layers of a network alone, each in the fastest way found, and their FLOP.

    A product is the fastest of ``F.linear``, a product into a kept buffer, a channels_last
    convolution and, on a CPU in float32, oneDNN's linear with packed weights; any other layer the
    fastest of its two layouts and, where it is not grouped, of a product of the same arithmetic.
    In training two more products a layer count, for the gradients of its input and its weight.
    Nothing between the layers is in it: no network is below this sum, but for what stays in the
    cache from one layer to the next.

    Args:
        uses: see ``layers_of``.
        seconds: to spend on it, about; every way is tried three times in any case.
        work: of it counts the dtype and the device.
    """
    like = torch.empty(0, device=work.device, dtype=work.dtype)
    total, flop = 0.0, 0
    for (layer, *wanted), times in uses.items():
        for job in ('forward', *compress(('input', 'weight'), wanted)):
            ways = ways_of(layer, job, like)
            total += times * fastest(ways, seconds / (3 * len(uses)), work.device)
            flop += times * layer.flop
    return total, flop


def ways_of(layer: Product | Conv, job: str, like: Tensor) -> Ways:
    """The ways to compute a layer, or the gradient of its input or its weight."""
    if isinstance(layer, Product):
        return {name: (call, 1.0) for name, call in product_calls(layer, job, like).items()}
    ways = {name: (call, 1.0) for name, call in conv_calls(layer, job, like).items()}
    if layer.groups == 1:
        rows = layer.product.rows
        few = layer.product._replace(rows=min(rows, MOST_ROWS))
        for name, call in product_calls(few, job, like).items():
            ways[name] = call, rows / few.rows
    return ways


def product_calls(product: Product, job: str, like: Tensor) -> dict[str, Callable[[], object]]:
    """Ways to multiply (rows, inside) by (inside, outside), or what the gradients need."""
    rows, inside, outside = product
    if job == 'weight':
        x, grad = (like.new_empty(rows, n).normal_() for n in (inside, outside))
        kept = like.new_empty(outside, inside)
        return {
            'product': lambda: torch.mm(grad.t(), x, out=kept),
            'transposed product': lambda: torch.mm(x.t(), grad),
        }
    inside, outside = (outside, inside) if job == 'input' else (inside, outside)
    x, weight = like.new_empty(rows, inside).normal_(), like.new_empty(outside, inside).normal_()
    bias, kept = like.new_zeros(outside), like.new_empty(rows, outside)
    pixels = x.view(1, rows, 1, inside).permute(0, 3, 1, 2)
    kernel = weight[:, :, None, None]
    calls = {
        'F.linear': lambda: F.linear(x, weight, bias),
        'kept buffer': lambda: torch.mm(x, weight.t(), out=kept),
        'conv2d': lambda: F.conv2d(pixels, kernel, bias),
    }
    if like.device.type == 'cpu' and like.dtype == torch.float32 and torch.backends.mkldnn.enabled:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        linear = torch.ops.mkldnn._linear_pointwise
        calls['packed'] = lambda: linear(x, packed, bias, 'none', [], '')
    return calls


def conv_calls(conv: Conv, job: str, like: Tensor) -> dict[str, Callable[[], object]]:
    """A convolution, or the gradient of its input or its weight, in both layouts."""
    return {
        str(layout): conv_call(conv, job, like, layout)
        for layout in (torch.contiguous_format, torch.channels_last)
    }


def conv_call(
    conv: Conv, job: str, like: Tensor, layout: torch.memory_format
) -> Callable[[], object]:
    x, weight = (
        like.new_empty(shape).normal_().contiguous(memory_format=layout)
        for shape in (conv.image, conv.weight)
    )
    settings = conv.stride, conv.padding, conv.dilation
    if job == 'forward':
        return lambda: F.conv2d(x, weight, None, *settings, conv.groups)
    grad = torch.ones_like(F.conv2d(x, weight, None, *settings, conv.groups))
    wanted = [job == 'input', job == 'weight', False]
    rest = False, (0, 0), conv.groups, wanted
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(grad, x, weight, None, *settings, *rest)


def fastest(ways: Ways, seconds: float, device: str) -> float:
    """Median seconds of the best of several ways."""
    timings = interleaved({name: call for name, (call, _) in ways.items()}, seconds, device)
    return min(timings[name].median * scale for name, (_, scale) in ways.items())


def copy_bandwidth(device: str, seconds: float = 1.0, megabytes: int = 256) -> float:
    """Bytes a second, read and written, of a copy that no cache holds."""
    source = torch.zeros(megabytes * 2**18, device=device)
    target = torch.ones_like(source)
    timing = interleaved({'copy': (lambda: target.copy_(source))}, seconds, device)['copy']
    return 2 * source.nbytes / timing.median
