"""The latest checkpoint, random states and the loader, each alone."""

import os
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from mmplugin.engine.latest import is_whole, latest_whole
from mmplugin.engine.loader import replayable, sampler_of
from mmplugin.engine.random_state import capture, restore, seed_cpu, undisturbed
from mmplugin.files import write_whole
from tests.engine.toy import Noisy


def checkpoint(path, size=1000):
    torch.save({'weight': torch.rand(size)}, path)
    return path


def test_a_checkpoint_cut_anywhere_or_changed_is_not_whole(tmp_path):
    path = checkpoint(tmp_path / 'epoch_1.pth')
    assert is_whole(path)
    content = path.read_bytes()
    for size in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert not is_whole(path)
    at = len(content) // 2  # among the numbers
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert not is_whole(path)
    assert not is_whole(tmp_path / 'absent.pth')
    assert not is_whole(tmp_path)


def aged(path, seconds):
    os.utime(path, (seconds, seconds))
    return path


def test_the_named_checkpoint_comes_first(tmp_path):
    first = aged(checkpoint(tmp_path / 'epoch_1.pth'), 10)
    aged(checkpoint(tmp_path / 'epoch_2.pth'), 20)
    write_whole(tmp_path / 'last_checkpoint', str(first))
    assert latest_whole(tmp_path) == (str(first), [])


@pytest.mark.parametrize('named', ['', 'epoch_7.pth', None])
def test_else_the_newest_that_is_whole(named, tmp_path):
    aged(checkpoint(tmp_path / 'iter_100.pth'), 10)
    second = aged(checkpoint(tmp_path / 'iter_200.pth'), 20)
    broken = tmp_path / 'iter_300.pth'
    broken.write_bytes(second.read_bytes()[:-5])
    aged(checkpoint(tmp_path / 'best_acc_iter_900.pth'), 99)
    if named is not None:
        (tmp_path / 'last_checkpoint').write_text(str(tmp_path / named) if named else '')
    found, passed = latest_whole(tmp_path)
    assert found == str(second)
    assert passed == ([str(tmp_path / named)] if named else []) + [str(broken)]


def test_beside_the_named_one_when_it_lies_elsewhere(tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    whole = checkpoint(other / 'epoch_1.pth')
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    (work_dir / 'last_checkpoint').write_text(str(other / 'epoch_2.pth'))
    assert latest_whole(work_dir) == (str(whole), [str(other / 'epoch_2.pth')])


def test_a_checkpoint_on_other_storage_is_taken_as_named(tmp_path):
    checkpoint(tmp_path / 'epoch_1.pth')
    (tmp_path / 'last_checkpoint').write_text('s3://bucket/epoch_2.pth')
    assert latest_whole(tmp_path) == ('s3://bucket/epoch_2.pth', [])


def test_nothing_to_go_on_from(tmp_path):
    assert latest_whole(tmp_path) == (None, [])
    assert latest_whole(tmp_path / 'absent') == (None, [])


def numbers():
    return torch.rand(3).tolist(), np.random.randn(3).tolist(), random.random(), random.gauss(0, 1)


def test_random_states_come_back_from_a_file(tmp_path):
    random.gauss(0, 1), np.random.randn()  # both keep a second number for later
    torch.save(capture(), tmp_path / 'state.pth')
    first = numbers()
    assert numbers() != first
    restore(torch.load(tmp_path / 'state.pth', weights_only=True))
    assert numbers() == first


def test_nothing_is_disturbed():
    state = capture()
    first = numbers()
    restore(state)
    with undisturbed():
        seed_cpu(1, 2)
        inside = numbers()
    assert numbers() == first
    seed_cpu(1, 2)
    assert numbers() == inside
    seed_cpu(2, 1)
    assert numbers() != inside


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_random_state_of_the_gpu():
    torch.rand(1, device='cuda')
    state = capture()
    first = torch.rand(3, device='cuda').tolist()
    seed_cpu(7)  # leaves the GPU alone
    assert torch.rand(3, device='cuda').tolist() != first
    restore({**state, 'torch': state['torch'].cuda()})
    assert torch.rand(3, device='cuda').tolist() == first


def loader(workers=0, **settings):
    made = DataLoader(Noisy(), batch_size=2, num_workers=workers, **settings)
    return replayable(made, seed=1)


def contents(batches):
    return [batch and batch['inputs'].tolist() for batch in batches]


@pytest.mark.parametrize('workers', [1, 2])
def test_workers_make_no_difference(workers):
    alone, together = loader(), loader(workers, persistent_workers=True)
    for _ in range(2):
        assert contents(together) == contents(alone)


def test_a_pass_differs_from_the_one_before_and_leaves_the_generators_alone():
    ours = loader()
    state = capture()
    expected = numbers()
    restore(state)
    first, second = contents(ours), contents(ours)
    assert first != second
    assert numbers() == expected


@pytest.mark.parametrize(('skip', 'nothing'), [(0, 0), (2, 2), (3, 3), (4, 3)])
def test_batches_are_passed_over(skip, nothing):
    whole = contents(loader())
    later = loader()
    later.go_to(0, skip, hand_over=True)
    found = contents(later)
    assert found[:nothing] == [None] * nothing
    assert found[nothing:] == whole[nothing:]


def test_what_cannot_be_replayed_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    for made in (DataLoader(Stream()), DataLoader(Noisy(), batch_size=None)):
        with pytest.raises(ValueError, match='cannot be replayed'):
            replayable(made, 0)


def test_the_data_set_stays_in_sight():
    ours = loader()
    assert type(ours.dataset) is Noisy and len(ours) == 3
    next(iter(ours))
    assert type(ours.dataset) is Noisy
    assert sampler_of(ours) is None
