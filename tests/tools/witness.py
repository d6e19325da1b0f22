"""Hooks for the runs of tests: what each step saw, and the end of the process at a given one."""

import json
import os
import signal
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class Witness(Hook):
    """Writes what each training step saw and gave, one line a step, to ``steps0.jsonl`` (rank)."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        line = {
            'iter': runner.iter,
            'files': [Path(s.img_path).name for s in data_batch['data_samples']],
            'pixels': [int(image.long().sum()) for image in data_batch['inputs']],
            'losses': {key: float(value) for key, value in outputs.items() if 'loss' in key},
            'random': torch.get_rng_state().long().sum().item(),
        }
        with open(Path(runner.work_dir, f'steps{get_rank()}.jsonl'), 'a') as file:
            file.write(json.dumps(line) + '\n')


@HOOKS.register_module()
class Killer(Hook):
    """Ends the process by SIGKILL in a step, or half-way through writing a checkpoint.

    Args:
        step: iteration after which it ends, from 1.
        writing: number of the checkpoint of which half is written, from 1. 0 for none.
    """

    priority = 'NORMAL'  # before the checkpoint of that step

    def __init__(self, step: int = 0, writing: int = 0) -> None:
        self.step = step
        self.writing = writing

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_save_checkpoint(self, runner, checkpoint):
        self.writing -= 1
        if self.writing == 0:
            LocalBackend.put = put_half


def put_half(self, content, path):
    with open(path, 'wb') as file:
        file.write(content[: len(content) // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
