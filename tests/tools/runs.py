"""Training runs in processes of their own, which end where a test wants it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from mmengine.config import Config

from tests.tools.conftest import REPOSITORY, Project

AUGMENTATION = [dict(type='RandomFlip', prob=0.5), dict(type='PhotoMetricDistortion')]
KILLED = -signal.SIGKILL


def write_config(project: Project, path: Path, workers: int, killer: dict | None = None) -> Path:
    """The project's config with augmentation, drop path, frequent checkpoints and a witness.

    A detector runs for 4 epochs of 2 steps and saves after each, a segmentor for 8 steps and saves
    after every third.

    Args:
        project: whose config it is.
        path: of the new config.
        workers: of the training data loader.
        killer: arguments of the hook that ends the run. Default: none.
    """
    cfg = Config.fromfile(project.config)
    cfg.custom_imports = dict(imports=['tests.tools.witness'])
    cfg.custom_hooks = [dict(type='Witness')]
    if killer:
        cfg.custom_hooks.append(dict(type='Killer', **killer))
    cfg.model.backbone.drop_path_rate = 0.3
    data = cfg.train_dataloader.dataset
    data.pipeline = [*data.pipeline[:-1], *AUGMENTATION, data.pipeline[-1]]
    cfg.train_dataloader.update(num_workers=workers, persistent_workers=workers > 0)
    if project.is_detector:
        cfg.train_cfg.max_epochs = 4
        interval = 1
    else:
        cfg.train_cfg.update(max_iters=8, val_interval=3)
        interval = 3
    cfg.default_hooks.checkpoint.update(interval=interval, max_keep_ckpts=1)
    cfg.dump(path)
    return path


def command(config: Path, work_dir: Path, *words: str) -> list[str]:
    tool = str(REPOSITORY / 'tools' / 'train.py')
    return [sys.executable, tool, str(config), '--work-dir', str(work_dir), *words]


def environment() -> dict[str, str]:
    return {**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1'}


def train(config: Path, work_dir: Path, *words: str) -> int:
    """Run ``tools/train.py``, and return the exit code: negative for a signal."""
    return subprocess.run(
        command(config, work_dir, *words),
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        check=False,
    ).returncode


def witnessed(work_dir: Path, rank: int = 0) -> list[dict]:
    """What the witness saw, in the order in which it happened."""
    lines = (work_dir / f'steps{rank}.jsonl').read_text().splitlines()
    return [json.loads(line) for line in lines]


def curve(work_dir: Path, rank: int = 0) -> dict[int, dict]:
    """The last word on each step: what was done again after a resumption replaces the first."""
    return {step['iter']: step for step in witnessed(work_dir, rank)}
