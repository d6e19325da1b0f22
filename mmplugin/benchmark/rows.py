"""One comparison: several peers of one network, one mode, one image size."""

from collections.abc import Callable
from typing import Protocol

from mmplugin.benchmark.memory import peak_bytes, saved_bytes
from mmplugin.benchmark.roofline import roofline
from mmplugin.benchmark.timing import interleaved
from mmplugin.benchmark.where import whereabouts
from mmplugin.benchmark.work import Peer, Work


class Case(Protocol):
    """A network and its peers."""

    name: str

    def peer(self, form: str, work: Work) -> Peer | None: ...


def compare(
    case: Case,
    forms: list[str],
    work: Work,
    seconds: float,
    bandwidth: float,
    where: bool = False,
) -> list[dict]:
    """Measure one comparison.

    Args:
        case: what is compared.
        forms: the peers; those that the case does not have are left out.
        work: what they do.
        seconds: to spend on the rounds, and half as much on the machine's products.
        bandwidth: of copies, measured, in bytes a second.
        where: ask where the time goes, too, for half as many seconds. Default False.

    Returns:
        One row a peer, in order: times in milliseconds, memory in MB, and what the network needs
        at least, see ``roofline``; ``loss`` of a whole model that trains, which tells whether
        peers do the same work; ``where``: see ``whereabouts``, or None.

    Raises:
        ValueError: for an unknown peer, or when no peer is left.
    """
    memory, losses = {}, {}
    if work.training:  # of each peer while there is no other
        memory = {form: memory_of(case.peer(form, work), work) for form in forms}
    peers = {form: case.peer(form, work) for form in forms}
    steps = {form: peer.step for form, peer in peers.items() if peer is not None}
    if not steps:
        raise ValueError(f'{case.name} has none of the peers {", ".join(forms)} in {work.mode}')
    if work.training:
        steps = {form: noting(step, losses, form) for form, step in steps.items()}
    timings = interleaved(steps, seconds, work.device)
    places = whereabouts(steps, seconds / 2) if where else {}
    peers.clear()
    steps.clear()
    position = roofline(case.peer('plain', work), work, bandwidth, seconds / 2)
    first = next(iter(timings.values())).median
    rows = []
    for form, timing in timings.items():
        saved, peak = memory.get(form, (None, None))
        row = dict(network=case.name, mode=work.mode, shape=work.shape, batch=work.batch, peer=form)
        row.update(ms=timing.median * 1e3, fastest=timing.fastest * 1e3)
        row.update(spread=timing.spread * 1e3, calls=timing.calls, speedup=first / timing.median)
        row.update(saved_mb=saved, peak_mb=peak and peak / 1e6, loss=losses.get(form), **position)
        row.update(where=places.get(form))
        rows.append(row)
    return rows


def memory_of(peer: Peer | None, work: Work) -> tuple[float | None, int | None]:
    """Megabytes of saved activations, and peak bytes; None for what is not there."""
    if peer is None:
        return None, None
    return saved_bytes(peer.forward, peer.given) / 1e6, peak_bytes(peer.step, work.device)


def noting(step: Callable[[], object], results: dict, name: str) -> Callable[[], None]:
    """``step`` that leaves what it returns in ``results[name]``."""

    def run() -> None:
        results[name] = step()

    return run
