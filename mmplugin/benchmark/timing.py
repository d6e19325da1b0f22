"""Timing several things in one run, so that what disturbs the machine disturbs all of them."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch


class Timing(NamedTuple):
    """Seconds of one call."""

    median: float
    fastest: float
    spread: float
    """Half of the distance between the quartiles."""
    calls: int


def interleaved(
    calls: dict[str, Callable[[], object]], seconds: float, device: str = 'cpu', least: int = 3
) -> dict[str, Timing]:
    """Time calls in turn (ABAB...), after one round that counts nothing.

    Args:
        calls: what to time, by name.
        seconds: begin no further round after this many.
        device: ``'cuda'`` waits for the GPU after every call.
        least: rounds that are run in any case.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in rounds(seconds, least + 1):
        for name, call in calls.items():
            before = time.perf_counter()
            call()
            if device == 'cuda':
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - before)
    return {name: summary(values[1:]) for name, values in times.items()}


def rounds(seconds: float, least: int) -> Iterator[int]:
    """Counts rounds from 0: ``least`` in any case, and more while ``seconds`` are not over."""
    start = time.perf_counter()
    for number in itertools.count():
        if number >= least and time.perf_counter() - start >= seconds:
            return
        yield number


def summary(values: list[float]) -> Timing:
    """Median, minimum and spread of a list of seconds."""
    lower, median, upper = statistics.quantiles(values, n=4, method='inclusive')
    return Timing(median, min(values), (upper - lower) / 2, len(values))
