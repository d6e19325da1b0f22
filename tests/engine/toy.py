"""A training run of milliseconds, in which everything is random."""

import itertools
import random

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn

from mmplugin.engine import ResumableRunner

NUMBERS = itertools.count()
SIZE = 5


class Noisy(torch.utils.data.Dataset):
    """Samples that are their index and three random numbers."""

    metainfo = dict(classes=('a',))

    def __len__(self):
        return SIZE

    def __getitem__(self, index):
        noise = torch.rand(()), np.random.rand(), random.random()
        return {'inputs': torch.tensor([index, *noise])}


class Toy(BaseModel):
    """Linear layer behind dropout."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, inputs, mode):
        inputs = inputs.float()
        if mode == 'predict':
            torch.rand(7)  # validation that draws
            return list(inputs)
        noisy = nn.functional.dropout(inputs, 0.5, self.training)
        return {'loss': self.layer(noisy).square().mean()}


class Score(BaseMetric):
    """Rises with each validation, then falls."""

    scores = (1.0, 2.0, 0.5, 3.0, 0.1)
    default_prefix = 'toy'

    def __init__(self):
        super().__init__()
        self.rounds = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.rounds += 1
        score = self.scores[(self.rounds - 1) % len(self.scores)]
        return {'acc': score, 'error': -score}


class Recorder(Hook):
    """Keeps (batch, loss, a random number) of each step."""

    def __init__(self):
        self.steps = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        seen = [value for sample in data_batch['inputs'] for value in sample.tolist()]
        self.steps[runner.iter] = (*seen, outputs['loss'].item())


def toy_run(
    work_dir,
    loop: dict,
    checkpoint: dict,
    sampler: str = 'DefaultSampler',
    workers: int = 0,
    batch_size: int = 2,
    resume: bool | str = False,
    validate: bool = True,
) -> tuple[ResumableRunner, dict]:
    """Train to the end of ``loop``; the runner and what was seen in each step."""
    recorder = Recorder()
    loader = dict(
        dataset=Noisy(),
        sampler=dict(type=sampler, shuffle=True),
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=dict(type='default_collate'),
    )
    validation = dict(
        val_dataloader=dict(
            loader,
            sampler=dict(type='DefaultSampler', shuffle=False),
            num_workers=0,
            persistent_workers=False,
        ),
        val_cfg=dict(),
        val_evaluator=dict(type=Score),
    )
    runner = ResumableRunner(
        Toy(),
        str(work_dir),
        train_dataloader=loader,
        train_cfg=loop,
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', **checkpoint)),
        custom_hooks=[recorder],
        randomness=dict(seed=3),
        resume=bool(resume),
        load_from=resume if isinstance(resume, str) else None,
        experiment_name=f'toy{next(NUMBERS)}',
        **(validation if validate else {}),
    )
    runner.train()
    return runner, recorder.steps


def log_of(runner) -> str:
    """The text of its log file."""
    with open(f'{runner.log_dir}/{runner.timestamp}.log') as file:
        return file.read()
