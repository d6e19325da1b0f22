"""A run that is killed and resumed is the run that was never stopped."""

import random
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from mmplugin.compat.safe_load import load
from mmplugin.files import PARTIAL
from tests.tools.conftest import options
from tests.tools.runs import (
    KILLED,
    command,
    curve,
    environment,
    train,
    witnessed,
    write_config,
)
from tests.tools.test_distributed import torchrun
from tools import train as tool

LAST = 8  # steps of either project


@pytest.fixture(scope='session')
def whole_runs(detector, segmentor, tmp_path_factory):
    """What the witness sees of a run that nobody stops, for (kind, workers)."""
    seen = {}

    def of(kind, workers):
        if (kind, workers) not in seen:
            project = {'detector': detector, 'segmentor': segmentor}[kind]
            folder = tmp_path_factory.mktemp(f'whole-{kind}')
            config = write_config(project, folder / 'whole.py', workers)
            assert tool.main([str(config), '--work-dir', str(folder), *options()]) == 0
            seen[kind, workers] = curve(folder)
            assert len(seen[kind, workers]) == LAST
        return seen[kind, workers]

    return of


def assert_same_curve(found, expected):
    """Data order, pictures and random numbers to the bit, losses to rounding."""
    assert found.keys() == expected.keys()
    for step, seen in found.items():
        for key in ('files', 'pixels', 'random'):
            assert seen[key] == expected[step][key], f'{key} of step {step}'
        assert seen['losses'] == pytest.approx(expected[step]['losses'], rel=1e-5), step


def killed_and_resumed(project, workers, killer, tmp_path):
    """The curve of both runs together, and the checkpoints there were in between."""
    config = write_config(project, tmp_path / 'killed.py', workers, killer)
    assert train(config, tmp_path) == KILLED
    left = {path.name for path in tmp_path.glob('*.pth*')}
    before = len(witnessed(tmp_path))
    config = write_config(project, tmp_path / 'resumed.py', workers)
    assert train(config, tmp_path, '--resume') == 0
    again = witnessed(tmp_path)[before:]
    return curve(tmp_path), left, again[0]['iter']


def test_killed_while_writing_a_checkpoint(segmentor, whole_runs, tmp_path):
    """The second checkpoint, after step 6, is half written; with ``max_keep_ckpts=1``."""
    found, left, first = killed_and_resumed(segmentor, 2, dict(writing=2), tmp_path)
    assert left == {'iter_3.pth', f'iter_6.pth{PARTIAL}'}
    assert first == 3
    assert_same_curve(found, whole_runs('segmentor', 0))  # workers make no difference
    assert {path.name for path in tmp_path.glob('*.pth*')} == {'iter_8.pth'}


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('kind', ['detector', 'segmentor'])
def test_killed_at_a_random_step(kind, workers, request, whole_runs, tmp_path):
    project = request.getfixturevalue(kind)
    interval = 2 if project.is_detector else 3
    step = random.randint(interval + 1, LAST)
    found, left, first = killed_and_resumed(project, workers, dict(step=step), tmp_path)
    saved = (step - 1) // interval
    assert left == {f'epoch_{saved}.pth' if project.is_detector else f'iter_{saved * 3}.pth'}
    assert first == saved * interval
    assert_same_curve(found, whole_runs(kind, 0))


@pytest.mark.slow
def test_killed_while_writing_twice(detector, whole_runs, tmp_path):
    """Of the third checkpoint half is written, and of the one after the resumption again."""
    config = write_config(detector, tmp_path / 'killed.py', 2, dict(writing=3))
    assert train(config, tmp_path) == KILLED
    config = write_config(detector, tmp_path / 'killed_again.py', 2, dict(writing=2))
    assert train(config, tmp_path, '--resume') == KILLED
    assert (tmp_path / 'epoch_3.pth').is_file() and not (tmp_path / 'epoch_4.pth').exists()
    config = write_config(detector, tmp_path / 'resumed.py', 0)
    assert train(config, tmp_path, '--resume') == 0
    assert_same_curve(curve(tmp_path), whole_runs('detector', 0))


@pytest.mark.slow
def test_killed_from_outside(segmentor, whole_runs, tmp_path):
    """Wherever it is, some moments after its first checkpoint."""
    config = write_config(segmentor, tmp_path / 'run.py', 2)
    with subprocess.Popen(
        command(config, tmp_path),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        while not (tmp_path / 'last_checkpoint').exists():
            assert run.poll() is None
            time.sleep(0.01)
        time.sleep(random.random() / 2)
        run.kill()
    assert train(config, tmp_path, '--resume') == 0
    assert_same_curve(curve(tmp_path), whole_runs('segmentor', 0))


@pytest.mark.slow
def test_two_processes_resume_with_the_random_states_of_both(segmentor, tmp_path):
    config = write_config(segmentor, tmp_path / 'run.py', 2)
    hidden = dict(CUDA_VISIBLE_DEVICES='-1')
    for folder, lengths in (('whole', [5]), ('parts', [3, 5])):
        for length in lengths:
            pairs = ['--cfg-options', f'train_cfg.max_iters={length}']
            words = [config, '--work-dir', tmp_path / folder, '--resume', *pairs]
            torchrun('train', *words, **hidden)
    for rank in (0, 1):
        assert_same_curve(curve(tmp_path / 'parts', rank), curve(tmp_path / 'whole', rank))
    ranks = [curve(tmp_path / 'whole', rank)[4] for rank in (0, 1)]
    assert ranks[0]['random'] != ranks[1]['random'] or ranks[0]['pixels'] != ranks[1]['pixels']


@pytest.mark.slow
def test_stock_tools_take_the_runner_by_name(segmentor, whole_runs, tmp_path):
    """mmseg's own train.py, killed while it writes the second checkpoint, and resumed."""
    tool_path = Path(find_spec('mmseg').origin).parent / '.mim' / 'tools' / 'train.py'
    code = (
        'import mmplugin, runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], {}, "__main__")'
    )
    for killer, words, end in ((dict(writing=2), [], KILLED), (None, ['--resume'], 0)):
        config = write_config(segmentor, tmp_path / 'run.py', 0, killer)
        options = ['--cfg-options', 'runner_type=mmplugin.ResumableRunner', 'launcher=none']
        words = [str(config), '--work-dir', str(tmp_path), *words, *options]
        run = [sys.executable, '-c', code, str(tool_path), *words]
        found = subprocess.run(run, env=environment(), capture_output=True, text=True, check=False)
        assert found.returncode == end, found.stderr[-2000:]
    assert [step['iter'] for step in witnessed(tmp_path)] == [*range(6), *range(3, LAST)]
    assert_same_curve(curve(tmp_path), whole_runs('segmentor', 0))


def test_a_run_without_a_seed_keeps_the_one_it_drew(segmentor, tmp_path):
    """mmengine draws another for the sampler before it reads the checkpoint."""
    words = [str(write_config(segmentor, tmp_path / 'run.py', 0)), '--work-dir']
    drawn, whole = ['randomness.seed=None'], tmp_path / 'whole'
    assert tool.main([*words, str(whole), *options(*drawn, 'train_cfg.max_iters=4')]) == 0
    seed = [f'randomness.seed={load(whole / "iter_4.pth")["meta"]["seed"]}']
    parts = tmp_path / 'parts'
    assert tool.main([*words, str(parts), *options(*seed, 'train_cfg.max_iters=2')]) == 0
    more = options(*drawn, 'train_cfg.max_iters=4')
    assert tool.main([*words, str(parts), '--resume', *more]) == 0
    assert_same_curve(curve(parts), curve(whole))


def test_a_truncated_checkpoint_is_passed_over(segmentor, tmp_path):
    """As a full disk or another tool leaves it, under its final name."""
    config = write_config(segmentor, tmp_path / 'run.py', 0)
    keep = 'default_hooks.checkpoint.max_keep_ckpts=-1'
    words = [str(config), '--work-dir', str(tmp_path)]
    assert tool.main([*words, *options(keep, 'train_cfg.max_iters=6')]) == 0
    latest = tmp_path / 'iter_6.pth'
    latest.write_bytes(latest.read_bytes()[:-1000])
    assert tool.main([*words, '--resume', *options(keep, 'train_cfg.max_iters=7')]) == 0
    log = max(tmp_path.glob('*/*.log'), key=lambda path: path.stat().st_mtime_ns).read_text()
    assert f'{latest} is missing or not whole' in log
    assert [step['iter'] for step in witnessed(tmp_path)] == [*range(6), *range(3, 7)]


def test_what_is_added_to_a_checkpoint_is_plain(segmentor, tmp_path):
    """So that mmengine, and torch restricted to weights, read it as before."""
    added = load(segmentor.checkpoint)['mmplugin_resume']
    torch.save(added, tmp_path / 'added.pth')
    found = torch.load(tmp_path / 'added.pth', weights_only=True)
    assert found['seed'] == 0 and len(found['random_states']) == 1
