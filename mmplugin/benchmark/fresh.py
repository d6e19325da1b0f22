"""Comparisons in processes of their own, so that none depends on what ran before it.

glibc keeps more of the freed memory, the larger the pieces it has seen: behind a comparison on
large maps, networks no longer pay for the fresh memory that they ask for on small ones.
"""

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import torch

from mmplugin.benchmark.cases import case_of
from mmplugin.benchmark.rows import compare
from mmplugin.benchmark.work import Work
from mmplugin.cli.errors import UserError


def compare_named(
    network: str,
    peers: list[str] | None,
    work: Work,
    seconds: float,
    bandwidth: float,
    where: bool,
) -> list[dict]:
    """``compare`` on the case of a name.

    Args:
        network: see ``case_of``.
        peers: None: those that the network has by default.
        work, seconds, bandwidth, where: of ``compare``.
    """
    case, forms = case_of(network)
    return compare(case, peers or forms, work, seconds, bandwidth, where)


def set_up(threads: int) -> None:
    """What a new process needs: as many threads, and stdout left to the result alone."""
    torch.set_num_threads(threads)
    sys.stdout = sys.stderr


def in_process_of_its_own(call: Callable[..., object], *args) -> object:
    """``call(*args)`` in a new process with as many threads as this one.

    Raises:
        ValueError: when the process ends without a result; and whatever ``call`` raises.
    """
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, context, set_up, (torch.get_num_threads(),)) as pool:
        try:
            return pool.submit(call, *args).result()
        except BrokenProcessPool as error:
            raise ValueError(
                'the process of a comparison ended without a result; was there memory enough?'
            ) from error
        except UserError as error:
            error.__cause__ = None  # the trace of the other process, which a mistake needs not
            raise
