"""Several trainings in one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from matplotlib.figure import Figure

from mmplugin.visual.curves import read_curves

WINDOW = 9
"""Logged losses in the running mean; the losses themselves stand faintly behind it."""


def plot_comparison(
    runs: Mapping[str, Sequence[str | Path]], out: str | Path, metric: str, title: str = ''
) -> None:
    """Plot loss and one validation metric of several runs over iterations.

    The legend gives each run's speed (median of the logged ``time``), and its memory where the
    log has it (mmengine logs that of GPUs only).

    Args:
        runs: the logs of each run (see ``curves.training_logs``), by the name to show.
        out: Picture file; its folder must exist.
        metric: Validation metric to show, by its name in the logs.
        title: Text above. Default: none.

    Raises:
        ValueError: For logs without training, or in which the metric never occurs.
    """
    figure = Figure(figsize=(12, 4.5), layout='constrained')
    losses, scores = figure.subplots(1, 2)
    for name, logs in runs.items():
        train, val = read_curves(logs)
        if metric not in val:
            raise ValueError(
                f'{logs[-1]} has no validation metric {metric!r}; it has: '
                f'{", ".join(sorted(val)) or "none"}'
            )
        steps, values = train['loss']
        (line,) = losses.plot(steps, running_mean(values), lw=2, label=f'{name}: {pace(train)}')
        losses.plot(steps, values, lw=0.6, alpha=0.35, color=line.get_color())
        scores.plot(*val[metric], marker='o', color=line.get_color(), label=name)
    for axes, label in ((losses, 'loss'), (scores, metric)):
        axes.set_xlabel('iteration')
        axes.set_ylabel(label)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=9)
    figure.suptitle(title)
    figure.savefig(out, dpi=120)


def pace(train: Mapping[str, tuple[list[float], list[float]]]) -> str:
    """Iterations a second, and the peak memory where it was logged, for people."""
    text = f'{1 / median(train["time"][1]):.2g} it/s'
    if 'memory' in train:
        text += f', {max(train["memory"][1]) / 1024:.2g} GB'
    return text


def running_mean(values: list[float]) -> np.ndarray:
    """Mean over up to ``WINDOW`` values around each; as many as there are."""
    kernel = np.ones(min(WINDOW, len(values)))
    counts = np.convolve(np.ones(len(values)), kernel, 'same')
    return np.convolve(values, kernel, 'same') / counts
