"""A GPU that is pretended on the CPU: PyTorch's rules of placement and type, values of the CPU.

``FakeTensorMode`` knows, for every operator, what a CUDA tensor may be mixed with and of what type
and shape the result is, but has no values, so code that reads some (NMS, target assignment)
cannot run in it. Here each fake tensor carries its value on the CPU along.

What it shows: no CPU tensor meets a CUDA one, no CUDA tensor is read as numpy, results lie and
are typed as they should. What it cannot show: results, speed and gaps of the CUDA kernels (but for
division by a number, which is rounded here as CUDA rounds it).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

CUDA, LAZY, CPU = torch.device('cuda:0'), torch.device('lazy'), torch.device('cpu')


class PretendedGPU(FakeTensorMode):
    """While it is entered, ``device='cuda'`` works: ``.to('cuda')``, factories, autograd.

    ``calls`` lists every operator that ran on the pretended device with the types of its tensors.
    """

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self.calls: list[tuple[str, list[torch.dtype]]] = []
        self._asking = self._casting = False

    @contextmanager
    def autocast(self, dtype: torch.dtype) -> Iterator[None]:
        """``torch.autocast('cuda', dtype)``, which refuses where there is no GPU; no gradients."""
        self._casting = True
        torch.set_autocast_enabled('cuda', True)
        torch.set_autocast_dtype('cuda', dtype)
        try:
            with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
                yield
        finally:
            self._casting = False
            torch.set_autocast_enabled('cuda', False)
            torch.set_autocast_dtype('cuda', torch.float16)
            torch.clear_autocast_cache()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self._asking:
            return self._ask(func, types, args, kwargs)
        leaves = tree_leaves((args, kwargs))
        if not any(map(_is_here, leaves)):
            return func(*args, **kwargs)
        if func is torch.ops.prim.device.default:
            # asked by C++ alone: autocast acts on CUDA tensors only, and the autograd engine has
            # no queue for a GPU that is not there
            return CUDA if self._casting else LAZY
        self.calls.append((func.name(), [t.dtype for t in leaves if isinstance(t, Tensor)]))
        try:
            placed = self._ask(func, types, *tree_map(_as_cuda, (args, kwargs)))
        except (DataDependentOutputException, DynamicOutputShapeException):
            placed = None
        on_cpu, named = tree_map(_value, (args, kwargs))
        values = _CPU_FORMS.get(func, func)(*on_cpu, **named)
        flat, structure = tree_flatten(values)
        answers = tree_leaves(placed) if placed is not None else [None] * len(flat)
        joined = [self._join(answer, value) for answer, value in zip(answers, flat)]
        return tree_unflatten(joined, structure)

    def _ask(self, func, types, args, kwargs):
        before, self._asking = self._asking, True
        try:
            return super().__torch_dispatch__(func, types, args, kwargs)
        finally:
            self._asking = before

    def _join(self, placed, value):
        if not isinstance(value, Tensor):
            return value
        if isinstance(placed, FakeTensor) and placed.fake_device != CUDA:
            return value
        if placed is None or placed.shape != value.shape:
            # the size depends on values, or is that of a buffer which the CPU alone fills
            placed = self._like(value)
        if placed.dtype != value.dtype:
            raise TypeError(f'{placed.dtype} on a GPU, {value.dtype} on the CPU')
        if placed.stride() != value.stride() and not value._is_view():
            value = torch.empty_strided(value.shape, placed.stride(), dtype=value.dtype).copy_(
                value
            )
        placed.value = value
        return placed

    def _like(self, value: Tensor) -> FakeTensor:
        sizes = value.shape, value.stride()
        empty = torch.ops.aten.empty_strided.default
        return self._ask(empty, (), sizes, dict(dtype=value.dtype, device=CUDA))


def _softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    return torch.softmax(x.float() if half_to_float else x, dim)


def _log_softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    return torch.log_softmax(x.float() if half_to_float else x, dim)


def _divide(x: Tensor, by: Tensor | float) -> Tensor:
    is_scalar = not isinstance(by, Tensor) or (by.dim() == 0 and by.device.type == 'cpu')
    if is_scalar and x.dtype == torch.float32:
        return x * torch.tensor(1 / float(by), dtype=torch.float32)
    return x / by


# calls that the CPU refuses, and one that CUDA rounds otherwise: it multiplies by the reciprocal of
# a divisor which is a number
_CPU_FORMS = {
    torch.ops.aten.div.Tensor: _divide,
    torch.ops.aten._softmax.default: _softmax,
    torch.ops.aten._log_softmax.default: _log_softmax,
}


def _is_here(leaf) -> bool:
    return isinstance(leaf, FakeTensor) or _is_gpu(leaf)


def _is_gpu(leaf) -> bool:
    return isinstance(leaf, torch.device) and leaf.type in (CUDA.type, LAZY.type)


def _as_cuda(leaf):
    return CUDA if _is_gpu(leaf) else leaf


def _value(leaf):
    if _is_gpu(leaf):
        return CPU
    return leaf.value if isinstance(leaf, FakeTensor) else leaf
