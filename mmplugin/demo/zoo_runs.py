"""Training what ``zoo`` composes, one folder a run, and the table of the results."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median

from mmplugin.demo.child import run_child
from mmplugin.demo.stages import ROOT
from mmplugin.demo.zoo import METRICS, Backbone, Budget, Head, compose
from mmplugin.visual.curves import read_curves, training_logs

WARMING = 'mask-rcnn'
"""The head whose training from scratch gives all others their backbones."""

FIGURES: Mapping[str, str] = {'coco/bbox_mAP': 'box AP', 'mIoU': 'mIoU'}
"""Metrics by their usual names."""


@dataclass(frozen=True)
class Run:
    """One finished training.

    Attributes:
        head, backbone, seed: What was trained.
        metric: Name of the figure.
        value: At the end: AP from 0 to 1, mIoU in percent.
        seconds: Median time of a step.
        checkpoint: Of the end.
    """

    head: str
    backbone: str
    seed: int
    metric: str
    value: float
    seconds: float
    checkpoint: str


def train(
    head: Head,
    backbone: Backbone,
    budget: Budget,
    seed: int,
    folder: Path,
    data: Path,
    detector: str | None = None,
) -> Run:
    """Train one head with one backbone, or take the result of the same training done before.

    Args:
        head, backbone, budget, seed: What to train.
        folder: Of the run.
        data: Of the generated pictures.
        detector: Checkpoint whose backbone to start from. Default: from scratch.

    Raises:
        ChildFailed: When the training ends with an error.
    """
    # the tool writes a config of the same name, with more in it, into its own folder
    config, result, work_dir = folder / 'zoo.py', folder / 'result.json', folder / 'run'
    # the name under which the demo's configs look for the data
    os.environ['MMPLUGIN_DEMO_DATA'] = str(data)
    cfg = compose(head, backbone, budget, seed, detector)
    text = cfg.pretty_text
    if result.is_file() and config.is_file() and config.read_text(encoding='utf-8') == text:
        return Run(**json.loads(result.read_text(encoding='utf-8')))
    folder.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    config.write_text(text, encoding='utf-8')
    command = [sys.executable, str(ROOT / 'tools/train.py'), str(config)]
    run_child([*command, '--work-dir', str(work_dir)], folder / 'train.log', dict(os.environ))
    curves, scores = read_curves(training_logs(work_dir))
    metric = METRICS[cfg.default_scope]
    run = Run(
        head=head.name,
        backbone=backbone.name,
        seed=seed,
        metric=metric,
        value=scores[metric][1][-1],
        seconds=median(curves['time'][1]),
        checkpoint=(work_dir / 'last_checkpoint').read_text(encoding='utf-8').strip(),
    )
    result.write_text(json.dumps(asdict(run), indent=2) + '\n', encoding='utf-8')
    return run


def table(runs: Sequence[Run], heads: Sequence[Head], backbones: Sequence[Backbone]) -> str:
    """Markdown: a row a head, a column a backbone, means over the seeds."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        found.setdefault((run.head, run.backbone), []).append(run)
    lines = [
        ['head', 'figure', *(backbone.name for backbone in backbones)],
        ['---'] * (2 + len(backbones)),
    ]
    for head in heads:
        cells = [found.get((head.name, backbone.name), []) for backbone in backbones]
        metric = next((cell[0].metric for cell in cells if cell), '')
        lines.append([head.name, FIGURES.get(metric, metric), *map(shown, cells)])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def shown(runs: Sequence[Run]) -> str:
    """Mean of the seeds, and each where there are several; empty without a run."""
    if not runs:
        return ''
    form = '.1f' if runs[0].metric == 'mIoU' else '.3f'
    text = format(mean(run.value for run in runs), form)
    each = ', '.join(format(run.value, form) for run in runs)
    return f'{text} ({each})' if len(runs) > 1 else text
