"""What a test leaves behind: predictions in files, pictures with predictions drawn."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

from mmplugin.cli.data import metrics_of
from mmplugin.cli.errors import UserError

HOOKS = {'mmdet': 'DetVisualizationHook', 'mmseg': 'SegVisualizationHook'}
OUT_KINDS = {
    'mmdet': 'a detector writes its predictions to a FILE.pkl',
    'mmseg': 'a segmentor writes its predictions to a FOLDER',
}


def draw_predictions(cfg, args: argparse.Namespace) -> None:
    """Let every test picture be drawn: in a window (``--show``), in a folder (``--show-dir``).

    Raises:
        UserError: when the config has no visualizer, there is no display to show on, or a segmentor
            is to do both.
    """
    if cfg.get('visualizer') is None:
        raise UserError(
            f'--show and --show-dir need a visualizer, and {args.config} has none; add one as in '
            f'{cfg.default_scope}::_base_/default_runtime.py'
        )
    hooks = cfg.setdefault('default_hooks', {})
    hook = hooks.setdefault('visualization', dict(type=HOOKS[cfg.default_scope]))
    hook['draw'] = True
    hook['interval'] = 1  # mmseg's hook draws every 50th picture otherwise
    if args.show and args.show_dir and cfg.default_scope == 'mmseg':
        raise UserError('a segmentor either shows or saves: give --show or --show-dir, not both')
    if args.show:
        if sys.platform == 'linux' and not {'DISPLAY', 'WAYLAND_DISPLAY'} & set(os.environ):
            raise UserError('--show needs a display, and there is none; use --show-dir FOLDER')
        hook['show'] = True
        hook['wait_time'] = args.wait_time
    if args.show_dir:
        folder = str(Path(args.show_dir).resolve())
        if cfg.default_scope == 'mmdet':
            hook['test_out_dir'] = folder
        else:
            cfg.visualizer['save_dir'] = folder


@contextmanager
def keep_predictions(cfg, out: str | None) -> Iterator[None]:
    """Have the test inside this context leave its predictions at ``out``.

    They are written beside it and moved there at the end, so that a test that fails leaves what
    was there before. The config is changed on entry.

    Raises:
        UserError: for a name of the wrong kind, or a segmentor without an IoUMetric.
    """
    if out is None:
        yield
        return
    path = Path(out).resolve()
    is_table = path.suffix in ('.pkl', '.pickle')
    wants_table = cfg.default_scope == 'mmdet'
    if is_table != wants_table or (path.is_dir() if wants_table else path.is_file()):
        raise UserError(f'--out {out}: {OUT_KINDS[cfg.default_scope]}')
    part = path.with_name(f'.partial-{path.name}')
    if wants_table:
        save_table(cfg, part)
    else:
        save_labels(cfg, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(part)
    try:
        yield
        move(part, path)
    finally:
        remove(part)


def save_table(cfg, path: Path) -> None:
    """Add the metric that saves a detector's predictions, masks as RLE."""
    metrics = metrics_of(cfg.test_evaluator)
    cfg.test_evaluator = [*metrics, dict(type='DumpDetResults', out_file_path=str(path))]


def save_labels(cfg, folder: Path) -> None:
    """Let mmseg's IoUMetric save the label maps, numbered as in the annotations."""
    metrics = [m for m in metrics_of(cfg.test_evaluator) if m['type'].endswith('IoUMetric')]
    if not metrics:
        raise UserError('--out needs an IoUMetric in test_evaluator, and the config has none')
    for metric in metrics:
        metric['output_dir'] = str(folder)


def main_process_only(action: Callable[..., None]) -> Callable[..., None]:
    """Leave an action to the first of several processes."""

    @wraps(action)
    def act(*args):
        # read at each call: slurm and mpi set it when they start the group
        if int(os.environ.get('RANK', 0)) == 0:
            action(*args)

    return act


@main_process_only
def move(part: Path, path: Path) -> None:
    """Put a file in its place, of a folder each file, and say so: mmengine logged ``part``."""
    from mmengine.logging import print_log

    if part.is_dir():
        path.mkdir(exist_ok=True)
        for file in part.iterdir():
            os.replace(file, path / file.name)
    else:
        os.replace(part, path)
    print_log(f'The predictions are in {path}.', 'current')


@main_process_only
def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
