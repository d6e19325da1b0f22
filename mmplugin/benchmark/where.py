"""Where the time of a step goes on a CPU: by kind of operation, in place."""

import resource
import time
from collections import Counter
from collections.abc import Callable
from statistics import fmean

from torch.profiler import ProfilerActivity, profile

from mmplugin.benchmark.timing import rounds

KINDS = {
    'products': (
        'addmm addmm_ addmv addmv_ addr_ baddbmm bmm mm mv mkldnn_convolution '
        'convolution_backward _slow_conv2d_forward _slow_conv2d_backward '
        '_scaled_dot_product_flash_attention_for_cpu '
        '_scaled_dot_product_flash_attention_for_cpu_backward'
    ),
    'GELU': 'gelu gelu_ gelu_backward',
    'norms': (
        'batch_norm_update_stats native_batch_norm native_batch_norm_backward native_group_norm '
        'native_group_norm_backward native_layer_norm native_layer_norm_backward var var_mean'
    ),
    'pooling': (
        'avg_pool2d avg_pool2d_backward max_pool2d_with_indices max_pool2d_with_indices_backward'
    ),
    'copies': 'cat copy_ fill_ zero_',
}
"""By kind, names of torch's operations; a bias that a product spreads first is among the copies."""
OTHER = 'other operations'
"""Residuals, scales, sums, views and whatever else torch does."""
OUTSIDE = 'outside of them'
"""Python, the autograd engine and giving memory back: the step without torch's operations."""
COLUMNS = (*KINDS, OTHER, OUTSIDE)

KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}


def kind_of(event: str) -> str | None:
    """The kind of an event of torch's profiler; None of what is no operation of torch."""
    namespace, _, operation = event.rpartition('::')
    return KIND_OF.get(operation, OTHER) if namespace in ('aten', 'torchvision') else None


def whereabouts(
    steps: dict[str, Callable[[], object]], seconds: float, least: int = 3
) -> dict[str, dict[str, float]]:
    """Profile steps in turn, ABAB, each beside a step without the profiler.

    Args:
        steps: by name; each has run before.
        seconds: begin no further round after this many.
        least: rounds that are run in any case.

    Returns:
        By name: the milliseconds of each of ``COLUMNS``, which add up to the profiled step, and
        ``faults``, the pages of fresh memory that the other step asked for; means over the rounds.
    """
    found: dict[str, list[Counter]] = {name: [] for name in steps}
    for _ in rounds(seconds, least):
        for name, step in steps.items():
            before = page_faults()
            step()
            faults = page_faults() - before
            found[name].append(profiled(step))
            found[name][-1]['faults'] = faults
    return {
        name: {column: fmean(one[column] for one in times) for column in (*COLUMNS, 'faults')}
        for name, times in found.items()
    }


def profiled(step: Callable[[], object]) -> Counter:
    """Milliseconds of a step in each of ``COLUMNS``."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        start = time.perf_counter()
        step()
        elapsed = time.perf_counter() - start
    found: Counter = Counter()
    for event in profiler.key_averages():
        if kind := kind_of(event.key):
            found[kind] += event.self_cpu_time_total / 1e3
    found[OUTSIDE] = elapsed * 1e3 - found.total()
    return found


def page_faults() -> int:
    """Pages that this process has got from the system so far without reading a disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
