"""The steps of the demonstration: data, training, evaluation, drawings."""

import os
import sys
from pathlib import Path

from mmplugin.datasets.ade import write_ade
from mmplugin.datasets.coco import MIN_IMAGES, write_coco
from mmplugin.demo.child import run_child
from mmplugin.demo.parts import Part
from mmplugin.demo.report import newest_metrics
from mmplugin.visual.curves import plot_curves, training_logs

ROOT = Path(__file__).resolve().parents[2]
"""The checkout, where tools and configs lie."""

MARKER = '.mmplugin_demo'


def claim_folder(out: Path) -> None:
    """Make the result folder, or take over that of an earlier demonstration.

    Raises:
        FileExistsError: When it is a file, or holds anything without being a demonstration's.
    """
    if out.exists() and not (out / MARKER).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f'{out} holds something other than a demo; nothing was changed. Name another folder'
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()


def make_data(data: Path, smoke: bool) -> None:
    """Generate ``data/coco`` and ``data/ade`` unless intact; few pictures for a smoke run."""
    few = dict(train=MIN_IMAGES, val=MIN_IMAGES) if smoke else {}
    for name, write in {'coco': write_coco, 'ade': write_ade}.items():
        _say(f'{data / name}: {"generated" if write(data / name, **few) else "intact, kept"}')


def run_part(part: Part, out: Path, data: Path, smoke: bool) -> dict:
    """Train one part, evaluate it on the held-out pictures and draw.

    Args:
        part: What to run.
        out: Result folder; the part gets a folder of its name in it.
        data: Folder of the generated pictures.
        smoke: Use the part's smoke settings.

    Returns:
        ``metrics`` of the evaluation, ``missed`` parts of the bar, ``train_seconds``,
        ``test_seconds``, and the paths of ``predictions``, ``curves`` and ``checkpoint``.

    Raises:
        ChildFailed: When a tool ends with an error.
    """
    folder = out / part.name
    folder.mkdir(exist_ok=True)
    config = str(ROOT / part.config)
    options = ['--cfg-options', *part.smoke] if smoke else []
    # the name under which the configs look for the data
    env = {**os.environ, 'MMPLUGIN_DEMO_DATA': str(data), 'PYTHONUNBUFFERED': '1'}

    def tool(name: str, *words: str) -> float:
        command = [sys.executable, str(ROOT / 'tools' / f'{name}.py'), *words, *options]
        return run_child(command, folder / f'{name}.log', env)

    _say(f'\n{part.name}: training {part.config}')
    train_seconds = tool('train', config, '--work-dir', str(folder))
    checkpoint = Path((folder / 'last_checkpoint').read_text(encoding='utf-8').strip())
    _say(f'\n{part.name}: evaluating {checkpoint} on held-out pictures')
    test_dir = folder / 'test'
    test_seconds = tool('test', config, str(checkpoint), '--work-dir', str(test_dir))
    metrics = newest_metrics(test_dir)
    score = ', '.join(f'{name} {metrics[name]:.3g}' for name in part.bar)
    title = f'{part.title}: {score}'
    predictions, curves = folder / 'predictions.png', folder / 'curves.png'
    tool('contact_sheet', config, str(checkpoint), '--out', str(predictions), '--title', title)
    plot_curves(training_logs(folder), curves, list(part.bar), title)
    return {
        'metrics': metrics,
        'missed': part.misses(metrics),
        'train_seconds': round(train_seconds, 1),
        'test_seconds': round(test_seconds, 1),
        'seconds_aimed_at': part.seconds,
        'predictions': str(predictions),
        'curves': str(curves),
        'checkpoint': str(checkpoint),
    }


def _say(text: str) -> None:
    sys.stdout.write(f'{text}\n')
    sys.stdout.flush()
