"""Training resumed by the runner equals training that went on, in every loop of mmengine."""

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook as StockHook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmplugin.compat.safe_load import load
from mmplugin.engine import CheckpointHook, ResumableRunner
from mmplugin.files import PARTIAL
from tests.engine.toy import log_of, toy_run

EPOCHS = dict(by_epoch=True, max_epochs=4, val_interval=1)
ITERATIONS = dict(by_epoch=False, max_iters=11, val_interval=2)
SAVE_EPOCHS = dict(interval=1)
SAVE_STEPS = dict(interval=1, by_epoch=False)


def files(folder):
    """What the run keeps, but its config."""
    return {p.name for p in folder.iterdir() if p.is_file() and p.suffix != '.py'}


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize(
    ('loop', 'checkpoint', 'sampler', 'name', 'step'),
    [
        (EPOCHS, SAVE_EPOCHS, 'DefaultSampler', 'epoch_2', 6),
        (EPOCHS, SAVE_STEPS, 'DefaultSampler', 'iter_4', 4),  # in the middle of an epoch
        (EPOCHS, SAVE_STEPS, 'DefaultSampler', 'iter_6', 6),  # at its end
        (ITERATIONS, SAVE_STEPS, 'InfiniteSampler', 'iter_5', 5),
        (ITERATIONS, SAVE_STEPS, 'DefaultSampler', 'iter_4', 4),  # passes begin again by themselves
        (ITERATIONS, SAVE_STEPS, 'DefaultSampler', 'iter_6', 6),
    ],
    ids=['epoch', 'mid-epoch', 'end-of-epoch', 'infinite', 'finite', 'finite-at-its-end'],
)
def test_resumed_as_if_never_stopped(
    loop, checkpoint, sampler, name, step, workers, tmp_path, monkeypatch
):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)
    _, whole = toy_run(tmp_path, loop, checkpoint, sampler)
    path = str(tmp_path / f'{name}.pth')
    runner, rest = toy_run(tmp_path / 'b', loop, checkpoint, sampler, workers, resume=path)
    assert rest == {i: seen for i, seen in whole.items() if i >= step}
    assert runner.iter == max(whole) + 1


def test_samples_differ_between_epochs_and_places(tmp_path):
    """The three random numbers of each sample, 4 epochs of 5 samples and one that rounds up."""
    _, steps = toy_run(tmp_path, EPOCHS, SAVE_EPOCHS, validate=False)
    for column in (1, 2, 3):
        numbers = [value for seen in steps.values() for value in seen[:-1][column::4]]
        assert len(numbers) == len(set(numbers)) == 20


def test_validation_uses_up_no_random_numbers(tmp_path):
    _, with_it = toy_run(tmp_path / 'a', EPOCHS, SAVE_EPOCHS)
    _, without = toy_run(tmp_path / 'b', EPOCHS, SAVE_EPOCHS, validate=False)
    assert with_it == without


def test_the_latest_whole_checkpoint_is_resumed(tmp_path):
    _, whole = toy_run(tmp_path, EPOCHS, SAVE_EPOCHS)
    for name in ('epoch_4.pth', 'epoch_3.pth'):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-100])
    runner, rest = toy_run(tmp_path, EPOCHS, SAVE_EPOCHS, resume=True)
    assert rest == {i: seen for i, seen in whole.items() if i >= 6}
    assert 'epoch_3.pth is missing or not whole' in log_of(runner)


def test_resuming_nothing_begins(tmp_path):
    runner, steps = toy_run(tmp_path, EPOCHS, SAVE_EPOCHS, resume=True)
    assert min(steps) == 0 and runner.epoch == 4


def test_a_checkpoint_without_random_states_is_said_to_be_one(tmp_path):
    toy_run(tmp_path, EPOCHS, SAVE_EPOCHS)
    content = load(tmp_path / 'epoch_2.pth')
    del content['mmplugin_resume']
    torch.save(content, tmp_path / 'stock.pth')
    path = str(tmp_path / 'stock.pth')
    runner, steps = toy_run(tmp_path / 'b', EPOCHS, SAVE_EPOCHS, resume=path)
    assert 'holds no random states' in log_of(runner)
    assert min(steps) == 6


def test_another_batch_size_is_said_to_change_the_order(tmp_path):
    toy_run(tmp_path, EPOCHS, SAVE_EPOCHS)
    path = str(tmp_path / 'epoch_2.pth')
    runner, _ = toy_run(tmp_path / 'b', EPOCHS, SAVE_EPOCHS, resume=path, batch_size=1)
    assert 'other data or batch size' in log_of(runner)


def test_mmengine_reads_the_checkpoint(tmp_path):
    runner, _ = toy_run(tmp_path, EPOCHS, SAVE_EPOCHS)
    weights = {k: v.clone() for k, v in runner.model.state_dict().items()}
    torch.nn.init.zeros_(runner.model.layer.weight)
    Runner.load_checkpoint(runner, str(tmp_path / 'epoch_4.pth'), strict=True)
    assert all(torch.equal(v, weights[k]) for k, v in runner.model.state_dict().items())


def test_the_name_is_found_under_any_scope():
    assert RUNNERS.get('mmplugin.ResumableRunner') is ResumableRunner


class DiskFull(OSError):
    """Half of the file is written."""


def break_writing(monkeypatch, when):
    """Let the writing of the files of that name fail half-way."""
    put = LocalBackend.put

    def put_half(self, content, path):
        if not str(path).endswith(when):
            return put(self, content, path)
        put(self, content[: len(content) // 2], path)
        raise DiskFull(28, 'No space left on device', path)

    monkeypatch.setattr(LocalBackend, 'put', put_half)


def test_the_old_checkpoint_outlives_a_broken_new_one(tmp_path, monkeypatch):
    break_writing(monkeypatch, f'epoch_3.pth{PARTIAL}')
    with pytest.raises(DiskFull):
        toy_run(tmp_path, EPOCHS, dict(interval=1, max_keep_ckpts=1))
    assert files(tmp_path) == {'epoch_2.pth', f'epoch_3.pth{PARTIAL}', 'last_checkpoint'}
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_2.pth')
    monkeypatch.undo()
    toy_run(tmp_path, EPOCHS, dict(interval=1, max_keep_ckpts=1), resume=True)
    assert files(tmp_path) == {'epoch_4.pth', 'last_checkpoint'}


def test_leftovers_go_from_another_out_dir_too(tmp_path):
    folder = tmp_path / 'out' / 'run'
    folder.mkdir(parents=True)
    (folder / f'epoch_9.pth{PARTIAL}').touch()
    toy_run(tmp_path / 'run', EPOCHS, dict(interval=4, out_dir=str(tmp_path / 'out')))
    assert files(folder) == {'epoch_4.pth'}
    latest = (tmp_path / 'run' / 'last_checkpoint').read_text()
    assert latest == str(folder / 'epoch_4.pth')


def test_mmengine_alone_loses_both(tmp_path, monkeypatch):
    """What the hook is for; when this fails, mmengine has changed."""
    monkeypatch.setattr(ResumableRunner, 'register_default_hooks', Runner.register_default_hooks)
    monkeypatch.setattr(ResumableRunner, 'save_checkpoint', Runner.save_checkpoint)
    break_writing(monkeypatch, 'epoch_3.pth')
    with pytest.raises(DiskFull):
        toy_run(tmp_path, EPOCHS, dict(interval=1, max_keep_ckpts=1))
    with pytest.raises(ValueError, match='not a readable checkpoint'):
        load(tmp_path / 'epoch_3.pth')
    assert not (tmp_path / 'epoch_2.pth').exists()


@pytest.mark.parametrize('keep', [-1, 1, 2])
def test_as_many_are_kept_as_asked(keep, tmp_path):
    _, _ = toy_run(tmp_path, EPOCHS, dict(interval=1, max_keep_ckpts=keep))
    first = 1 if keep < 0 else 5 - keep
    assert files(tmp_path) == {
        'last_checkpoint',
        *(f'epoch_{n}.pth' for n in range(first, 5)),
    }


BEST = dict(interval=1, max_keep_ckpts=1, save_best='toy/acc', rule='greater')


def test_the_best_is_replaced_by_a_better(tmp_path):
    runner, _ = toy_run(tmp_path, EPOCHS, BEST)
    assert files(tmp_path) == {'epoch_4.pth', 'best_toy_acc_epoch_4.pth', 'last_checkpoint'}
    assert runner.message_hub.get_info('best_score') == 3.0
    assert 'best_toy_acc_epoch_2.pth is removed' in log_of(runner)


def test_the_best_outlives_a_worse_and_a_broken_one(tmp_path, monkeypatch):
    break_writing(monkeypatch, f'best_toy_acc_epoch_4.pth{PARTIAL}')
    with pytest.raises(DiskFull):
        toy_run(tmp_path, EPOCHS, BEST)
    assert files(tmp_path) >= {'best_toy_acc_epoch_2.pth', 'epoch_4.pth'}


def test_the_best_of_each_metric(tmp_path):
    each = dict(BEST, save_best=['toy/acc', 'toy/error'], rule=['greater', 'less'])
    toy_run(tmp_path, EPOCHS, each)
    best = {'best_toy_acc_epoch_4.pth', 'best_toy_error_epoch_4.pth'}
    assert files(tmp_path) == {'epoch_4.pth', 'last_checkpoint', *best}


def test_the_hook_of_the_config_is_ours_unless_it_is_another(tmp_path):
    class Other(StockHook):
        pass

    runner, _ = toy_run(tmp_path, EPOCHS, SAVE_EPOCHS)
    assert any(type(hook) is CheckpointHook for hook in runner.hooks)
    runner._hooks.clear()
    runner.register_default_hooks(dict(checkpoint=dict(type=Other, interval=1)))
    assert any(type(hook) is Other for hook in runner.hooks)
