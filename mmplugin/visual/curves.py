"""Training curves from the log that mmengine writes (``vis_data/scalars.json``)."""

import json
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Curve = tuple[list[float], list[float]]
"""Iterations and the values at them."""


def newest_log(work_dir: str | Path) -> Path:
    """The scalars file of the latest training below a work dir.

    Raises:
        FileNotFoundError: When there is none.
    """
    # the folders are named after their time; a test run's file lies elsewhere
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not logs:
        raise FileNotFoundError(f'no training log (*/vis_data/scalars.json) in {work_dir}')
    return logs[-1]


def read_curves(log: str | Path) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """Read training scalars and validation metrics, both over iterations.

    Epoch-based runs log validation by epoch; the iteration is that of the last training line.

    Raises:
        ValueError: For a file without a training line.
    """
    train: dict[str, Curve] = {}
    val: dict[str, Curve] = {}
    iteration = 0
    for line in Path(log).read_text(encoding='utf-8').splitlines():
        record = json.loads(line)
        if 'loss' in record:
            iteration, curves = record['iter'], train
        else:
            curves = val
        for name, value in record.items():
            if isinstance(value, (int, float)):
                steps, values = curves.setdefault(name, ([], []))
                steps.append(iteration)
                values.append(value)
    if not train:
        raise ValueError(f'{log} holds no training line')
    return train, val


def plot_curves(log: str | Path, out: str | Path, metrics: list[str], title: str = '') -> None:
    """Plot loss, learning rate and validation metrics over iterations.

    Args:
        log: ``vis_data/scalars.json`` of a run.
        out: Picture file; its folder must exist.
        metrics: Validation metrics to show, by their names in the log.
        title: Text above. Default: none.

    Raises:
        ValueError: For a log without training, or one in which a metric never occurs.
    """
    train, val = read_curves(log)
    missing = [name for name in metrics if name not in val]
    if missing:
        known = ', '.join(sorted(val)) or 'none'
        raise ValueError(f'{log} has no validation metric {missing[0]!r}; it has: {known}')
    figure = Figure(figsize=(13, 4), layout='constrained')
    losses, rate, score = figure.subplots(1, 3)
    parts = sorted(name for name in train if 'loss' in name and name != 'loss')
    _plot(losses, {name: train[name] for name in ['loss', *parts]}, 'loss', bold='loss')
    _plot(rate, {'lr': train['lr']}, 'learning rate')
    rate.ticklabel_format(axis='y', style='sci', scilimits=(0, 0))
    _plot(score, {name: val[name] for name in metrics}, 'validation metric', marker='o')
    score.set_ylim(bottom=0)
    figure.suptitle(title)
    figure.savefig(out, dpi=120)


def _plot(
    axes: Axes, curves: dict[str, Curve], label: str, bold: str = '', marker: str = ''
) -> None:
    for name, (steps, values) in curves.items():
        axes.plot(steps, values, label=name, marker=marker, lw=2.2 if name == bold else 1.1)
    axes.set_xlabel('iteration')
    axes.set_ylabel(label)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
