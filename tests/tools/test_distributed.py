"""Two processes on one machine, without a GPU or with two."""

import json
import os
import subprocess
import sys

import mmengine
import pytest
import torch

from mmplugin.cli.errors import UserError
from mmplugin.cli.launch import check_launcher, replace_sync_norms
from tests.tools.conftest import REPOSITORY, error_line, options
from tools import train


def torchrun(tool, *words, **env):
    """Run a tool in two processes; return what it wrote."""
    result = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']
        + [f'tools/{tool}.py', *map(str, words), '--launcher', 'pytorch'],
        cwd=REPOSITORY,
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1', **env},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout + result.stderr


# writes what each process has seen, and a fingerprint of the weights it ended with
SPY = """
import json
from pathlib import Path
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class Spy(Hook):
    def __init__(self, folder):
        self.folder, self.pictures = folder, []
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.pictures += [sample.img_path for sample in data_batch['data_samples']]
    def after_train(self, runner):
        weights = [float(p.double().sum()) for p in runner.model.parameters()]
        found = dict(pictures=self.pictures, weights=weights)
        Path(self.folder, f'rank{get_rank()}.json').write_text(json.dumps(found))
"""


def test_two_processes_train_on_the_cpu(segmentor, tmp_path):
    """With the SyncBN of mmseg's own FPN head."""
    assert "'SyncBN'" in segmentor.config.read_text()
    (tmp_path / 'spy.py').write_text(SPY)
    config = tmp_path / 'spied.py'
    config.write_text(
        f'_base_ = {str(segmentor.config)!r}\n'
        "custom_imports = dict(imports=['mmplugin', 'spy'], allow_failed_imports=False)\n"
        f"custom_hooks = [dict(type='mmengine.Spy', folder={str(tmp_path)!r})]\n"
    )
    pairs = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2']
    words = [config, '--work-dir', tmp_path, '--cfg-options', *pairs]
    path = f'{REPOSITORY}{os.pathsep}{tmp_path}'
    shown = torchrun('train', *words, CUDA_VISIBLE_DEVICES='-1', PYTHONPATH=path)
    assert 'SyncBN becomes BN' in shown
    assert 'gloo' in shown
    assert 'mIoU' in shown
    assert (tmp_path / 'iter_2.pth').is_file()
    first, second = (json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in (0, 1))
    assert first['weights'] == second['weights']  # gradients were averaged
    # 5 pictures, 2 a process and step
    assert len(first['pictures']) == len(second['pictures']) == 4
    assert not set(first['pictures'][:2]) & set(second['pictures'][:2])


@pytest.mark.slow
def test_two_processes_train_resume_and_test_on_the_cpu(detector, tmp_path):
    hidden = dict(CUDA_VISIBLE_DEVICES='-1')
    words = [detector.config, '--work-dir', tmp_path]
    torchrun('train', *words, **hidden)
    shown = torchrun(
        'train', *words, '--resume', '--cfg-options', 'train_cfg.max_epochs=2', **hidden
    )
    assert 'resumed epoch: 1' in shown
    out = tmp_path / 'found.pkl'
    words = [detector.config, tmp_path / 'epoch_2.pth', '--work-dir', tmp_path, '--out', out]
    torchrun('test', *words, **hidden)
    assert len(mmengine.load(out)) == len(list((detector.data / 'val').iterdir()))


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='needs two CUDA devices')
def test_two_processes_train_on_two_gpus(segmentor, tmp_path):
    shown = torchrun('train', segmentor.config, '--work-dir', tmp_path)
    assert 'gloo' not in shown
    assert (tmp_path / f'{segmentor.last}.pth').is_file()


def test_launcher_without_torchrun(segmentor, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv('RANK', raising=False)
    words = ['--work-dir', str(tmp_path), '--launcher', 'pytorch', *options()]
    assert train.main([str(segmentor.config), *words]) == 1
    assert 'torchrun --nproc_per_node' in error_line(capsys)


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '3')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    with pytest.raises(UserError, match='3 processes on 2 GPU'):
        check_launcher('pytorch')


@pytest.mark.parametrize('launcher', ['slurm', 'mpi'])
def test_launchers_for_gpus_only(launcher, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.raises(UserError, match=f'{launcher} needs GPUs'):
        check_launcher(launcher)


def test_sync_norms_are_found_at_any_depth():
    tree = dict(
        a=dict(norm_cfg=dict(type='SyncBN', momentum=0.1)),
        b=[dict(type='GN'), dict(x=(dict(type='mmcv.MMSyncBN'),))],
    )
    assert replace_sync_norms(tree) == 2
    assert tree['a']['norm_cfg'] == dict(type='BN', momentum=0.1)
    assert tree['b'][1]['x'][0]['type'] == 'BN'
    assert tree['b'][0]['type'] == 'GN'
