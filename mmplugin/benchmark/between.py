"""What lies between the products of a PoolFormer or Container, each operation alone."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmplugin.benchmark.ceilings import Ways, fastest, watching
from mmplugin.benchmark.work import Work
from mmplugin.layers import GroupNorm1
from mmplugin.mixers.pooling import Pooling
from mmplugin.ops.rows import moments, rows_of

CACHED = 2**19
"""Values of an activation that is timed: with its result 4 MB, which stays in a cache."""


class Between(NamedTuple):
    """An operation on a map."""

    kind: type[nn.Module]
    """One of ``KINDS``."""
    shape: tuple[int, ...]


def gelu_ways(shape: tuple[int, ...], like: Tensor, training: bool) -> list[Ways]:
    """GELU, in training and its gradient, in the cache: fused with products it needs no more."""
    size = torch.Size(shape).numel()
    few = min(size, CACHED)
    x, y, z = (like.new_empty(few).normal_() for _ in '123')
    jobs = [lambda: torch.ops.aten.gelu.out(x, out=y)]
    if training:
        jobs.append(lambda: torch.ops.aten.gelu_backward.grad_input(y, x, grad_input=z))
    return [{'in the cache': (job, size / few)} for job in jobs]


def norm_ways(shape: tuple[int, ...], like: Tensor, training: bool) -> list[Ways]:
    """Mean and variance of each sample; the rest can be part of its neighbours."""
    x = channels_last(shape, like)
    calls = {
        'var_mean': lambda: torch.var_mean(x, (1, 2, 3)),
        'in pieces': lambda: [moments(rows) for rows in rows_of(x)],
    }
    return [{name: (call, 1.0) for name, call in calls.items()}]


def pooling_ways(shape: tuple[int, ...], like: Tensor, training: bool) -> list[Ways]:
    """The pooling, in training that of the gradient, and the sums for the gradient of the norm."""
    x = channels_last(shape, like)
    maps = {'channels_last': x, 'contiguous': x.contiguous()}
    calls = {k: lambda m=m: F.avg_pool2d(m, 3, 1, 1, False, False) for k, m in maps.items()}
    jobs = [{name: (call, 1.0) for name, call in calls.items()}]
    if training:
        flat = rows_of(x).flatten()
        jobs += [jobs[0], {'dot': (lambda: torch.dot(flat, flat), 1.0)}]
    return jobs


def channels_last(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return like.new_empty(shape).normal_().contiguous(memory_format=torch.channels_last)


KINDS = {nn.GELU: gelu_ways, GroupNorm1: norm_ways, Pooling: pooling_ways}
"""(shape, like, training) -> the jobs of an operation, each with the ways to do it."""


def betweens_of(model: nn.Module, forward: Callable[[], object]) -> Counter[Between]:
    """The operations of ``KINDS`` in a network, with how often each shape occurs.

    Args:
        model: built with ``fast=False``, whose layers are all called.
        forward: runs it once.
    """
    found: Counter[Between] = Counter()

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        found[Between(type(module), tuple(inputs[0].shape))] += 1

    with watching((m for m in model.modules() if type(m) in KINDS), note):
        forward()
    return found


@torch.no_grad()
def between_seconds(found: Counter[Between], seconds: float, work: Work) -> float:
    """Time for these operations alone on a CPU, each in the fastest way found.

    Not in it: affine maps, scales, residuals, layer norms and softmax, the copies at the border,
    and whatever writes a map that another operation reads.

    Args:
        found: see ``betweens_of``.
        seconds: to spend on it, about; every way is tried three times in any case.
        work: of it counts the dtype, and whether it is training.
    """
    like = torch.empty(0, dtype=work.dtype)
    return sum(
        times * fastest(ways, seconds / (4 * len(found)), work.device)
        for (kind, shape), times in found.items()
        for ways in KINDS[kind](shape, like, work.training)
    )
