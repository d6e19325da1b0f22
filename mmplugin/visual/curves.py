"""Training curves from the log that mmengine writes (``vis_data/scalars.json``)."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Curve = tuple[list[float], list[float]]
"""Iterations and the values at them."""


NO_METRICS = {'data_time', 'time', 'step', 'epoch', 'iter'}
"""What validation lines hold beside metrics."""


def training_logs(work_dir: str | Path) -> list[Path]:
    """The scalars files of the trainings below a work dir, the earliest first: one for each time
    the training was begun or resumed.

    Raises:
        FileNotFoundError: When there is none.
    """
    # the folders are named after their time; a test run's file lies elsewhere
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not logs:
        raise FileNotFoundError(f'no training log (*/vis_data/scalars.json) in {work_dir}')
    return logs


def read_curves(logs: Sequence[str | Path]) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """Read training scalars and validation metrics, both over iterations.

    Each log goes on where it was resumed: what earlier ones hold of later iterations was done
    again and is left out. A training begun anew leaves nothing of those before it.

    Args:
        logs: ``vis_data/scalars.json`` of a run, and of each time it was resumed, in order.

    Raises:
        ValueError: For logs without a training line.
    """
    lines: list[tuple[int, dict]] = []
    for log in logs:
        records = [json.loads(line) for line in Path(log).read_text('utf-8').splitlines()]
        start = resumed_at([record['iter'] for record in records if 'loss' in record])
        if start is not None:
            lines = [line for line in lines if line[0] <= start]
        lines += placed(records, lines[-1][0] if lines else 0)
    train: dict[str, Curve] = {}
    val: dict[str, Curve] = {}
    for iteration, record in lines:
        is_training = 'loss' in record
        for name, value in record.items():
            if isinstance(value, (int, float)) and (is_training or name not in NO_METRICS):
                curves = train if is_training else val
                steps, values = curves.setdefault(name, ([], []))
                steps.append(iteration)
                values.append(value)
    if not train:
        raise ValueError(f'{logs[-1]} holds no training line')
    return train, val


def resumed_at(iterations: list[int]) -> int | None:
    """The iteration before a log's first interval; None for a log without training."""
    if len(iterations) < 2:
        return iterations[0] - 1 if iterations else None
    first, second = iterations[:2]
    return max(0, first - (second - first))


def placed(records: list[dict], iteration: int) -> Iterator[tuple[int, dict]]:
    """Each record with its iteration; validation, which epoch-based runs log by epoch, has that of
    the training line before it, or the given one."""
    for record in records:
        if 'loss' in record:
            iteration = record['iter']
        yield iteration, record


def plot_curves(
    logs: Sequence[str | Path], out: str | Path, metrics: list[str], title: str = ''
) -> None:
    """Plot loss, learning rate and validation metrics over iterations.

    Args:
        logs: of a run, see ``training_logs``.
        out: Picture file; its folder must exist.
        metrics: Validation metrics to show, by their names in the log.
        title: Text above. Default: none.

    Raises:
        ValueError: For logs without training, or in which a metric never occurs.
    """
    train, val = read_curves(logs)
    missing = [name for name in metrics if name not in val]
    if missing:
        known = ', '.join(sorted(val)) or 'none'
        raise ValueError(f'{logs[-1]} has no validation metric {missing[0]!r}; it has: {known}')
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
        width = 2.2 if name == bold else 1.1
        axes.plot(steps, values, label=name, marker=marker, lw=width, clip_on=not marker)
    axes.set_xlabel('iteration')
    axes.set_ylabel(label)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
