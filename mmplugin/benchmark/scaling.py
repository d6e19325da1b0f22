"""How time and memory of backbones grow with the area of an image and with the batch."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from torch import nn

from mmplugin.benchmark.memory import saved_bytes
from mmplugin.benchmark.peers import build_ours, random_images, ready_peer
from mmplugin.benchmark.report import images_of, markdown
from mmplugin.benchmark.timing import interleaved
from mmplugin.benchmark.work import Work

SIDES = (128, 192, 256, 384, 512, 768, 1024)
"""Of square images of the area sweep, in pixels, one image at a time."""
BATCHES = (1, 2, 4, 8, 16)
SIDE = 256
"""Of the images of the batch sweep."""


class Limits(NamedTuple):
    """What no point may take."""

    seconds: float
    """Of one call."""
    megabytes: float
    """Of saved activations."""


def sweep(
    networks: list[str], work: Work, seconds: float, limits: Limits, say: Callable[[str], object]
) -> tuple[list[dict], list[str]]:
    """Measure every network at every point, all networks of a point in turn.

    A network leaves a sweep when its next point, judged by how the last step grew, would go
    beyond the limits; at the first point nothing is known, and all are measured.

    Args:
        networks: as in ``build_ours``.
        work: mode, dtype and device; shape and batch are those of the sweeps.
        seconds: for the rounds of one point.
        limits: see there.
        say: is told what is left out, and why, at once.

    Returns:
        Points with ``network``, ``sweep``, ``shape``, ``batch``, ``pixels`` (of the whole batch),
        ``ms``, ``spread`` and ``saved_mb``; and what was left out.
    """
    areas = [work._replace(shape=(side, side), batch=1) for side in SIDES]
    batches = [work._replace(shape=(SIDE, SIDE), batch=batch) for batch in BATCHES]
    points: list[dict] = []
    left_out: list[str] = []
    models = {name: build_ours(name).to(work.device, work.stored) for name in networks}
    for name, cases in (('area', areas), ('batch', batches)):
        known: dict[str, list[dict]] = {network: [] for network in networks}
        for case in cases:
            for network in list(known):
                reason = beyond(known[network], pixels_of(case), limits)
                if reason:
                    left_out.append(f'{network} from {images_of(case._asdict())} on: {reason}')
                    say(left_out[-1])
                    del known[network]
            for point in measure({n: models[n] for n in known}, case, seconds):
                known[point['network']].append(point)
                points.append(dict(point, sweep=name))
    return points, left_out


def pixels_of(work: Work) -> int:
    return work.batch * work.shape[0] * work.shape[1]


def beyond(known: list[dict], pixels: int, limits: Limits) -> str | None:
    """Why a next point would go beyond the limits; None where it would not."""
    if len(known) < 2:
        return None
    before, last = known[-2:]
    for key, most, unit in (
        ('ms', limits.seconds * 1e3, 'ms'),
        ('saved_mb', limits.megabytes, 'MB'),
    ):
        step = math.log(last['pixels'] / before['pixels'])
        growth = max(1.0, math.log(last[key] / before[key]) / step)
        expected = last[key] * (pixels / last['pixels']) ** growth
        if expected > most:
            return f'about {expected:.0f} {unit} expected, the limit is {most:.0f} {unit}'
    return None


def measure(models: dict[str, nn.Module], work: Work, seconds: float) -> list[dict]:
    """One point of every network."""
    images = [random_images(work)]
    saved, steps = {}, {}
    for name, model in models.items():
        trained = ready_peer(model.train(), images, work._replace(mode='training'))
        saved[name] = saved_bytes(trained.forward, trained.given) / 1e6
        steps[name] = ready_peer(model.train(work.training), images, work).step
    timings = interleaved(steps, seconds, work.device)
    size = dict(shape=work.shape, batch=work.batch, pixels=pixels_of(work))
    return [
        dict(size, network=n, ms=t.median * 1e3, spread=t.spread * 1e3, saved_mb=saved[n])
        for n, t in timings.items()
    ]


def scaling_table(points: list[dict]) -> str:
    """One line a point."""
    head = ('network', 'sweep', 'images', 'pixels', 'ms', '+-', 'saved MB')
    return markdown(
        head,
        (
            (
                p['network'],
                p['sweep'],
                images_of(p),
                p['pixels'],
                f'{p["ms"]:.1f}',
                f'{p["spread"]:.1f}',
                f'{p["saved_mb"]:.0f}',
            )
            for p in points
        ),
    )


def plot_scaling(points: list[dict], mode: str, left_out: list[str], out: str | Path) -> None:
    """Time and saved activations over pixels; what was left out stands below."""
    figure = Figure(figsize=(10, 4.4 + 0.2 * len(left_out)), layout='constrained')
    times, memory = figure.subplots(1, 2)
    networks = list(dict.fromkeys(point['network'] for point in points))
    for axes, key, label in (
        (times, 'ms', f'{mode}, ms'),
        (memory, 'saved_mb', 'activations saved for the backward pass, MB'),
    ):
        for colour, network in enumerate(networks):
            for name, style in (('area', 'o-'), ('batch', 's--')):
                mine = [p for p in points if (p['network'], p['sweep']) == (network, name)]
                xs, ys = ([point[k] for point in mine] for k in ('pixels', key))
                text = network if name == 'area' else None
                axes.loglog(xs, ys, style, color=f'C{colour}', label=text, markersize=4)
        axes.set_xlabel('pixels of all images')
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    times.legend(fontsize=8)
    title = f'solid: one image of growing area; dashed: more images of {SIDE} x {SIDE}'
    figure.suptitle(title, fontsize=10)
    figure.supxlabel('\n'.join(f'left out: {line}' for line in left_out), fontsize=8)
    figure.savefig(out, dpi=110)
