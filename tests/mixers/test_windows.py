"""Attention inside windows."""

import pytest
import torch

from mmplugin.mixers.affinities import SelfAffinity
from mmplugin.ops.windows import join_windows, split_windows
from tests.tensors import image, relative_error, weighted_sum


def query_key_value(height, width):
    return [image(2, 6, height, width, seed=seed).requires_grad_() for seed in (1, 2, 3)]


def one_by_one(attention, maps, side):
    """Attention on each window cut out by slicing; those at the border are smaller."""
    out = torch.zeros_like(maps[0])
    height, width = out.shape[2:]
    for y in range(0, height, side):
        for x in range(0, width, side):
            window = ..., slice(y, y + side), slice(x, x + side)
            out[window] = attention(*(m[window] for m in maps))
    return out


@pytest.mark.parametrize('size', [(8, 8), (9, 8), (7, 13), (3, 10), (4, 4), (2, 3)])
def test_equals_windows_one_by_one(size):
    results = []
    for form in (
        SelfAffinity(2, window_size=4),
        lambda *maps: one_by_one(SelfAffinity(2), maps, 4),
    ):
        maps = query_key_value(*size)
        y = form(*maps)
        results.append([y, *torch.autograd.grad(weighted_sum([y]), maps)])
    for mine, theirs in zip(*results):
        assert relative_error(mine, theirs) < 1e-12


def test_a_window_over_the_whole_map_is_no_window():
    maps = query_key_value(7, 5)
    assert torch.equal(SelfAffinity(3, window_size=7)(*maps), SelfAffinity(3)(*maps))


@pytest.mark.parametrize('size', [(6, 6), (7, 6), (1, 5)])
def test_joining_undoes_splitting(size):
    x = image(3, 2, *size)
    windows = split_windows(x, (3, 2))
    assert windows.shape[1:] == (2, 3, 2)
    assert torch.equal(join_windows(windows, size), x)
