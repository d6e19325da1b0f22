"""Token tables at and away from their grid."""

import pytest
import torch
import torch.nn.functional as F

from mmplugin.mixers.tables import MODES, TableAffinity
from mmplugin.ops.resample import down, to_grid, to_map, up
from tests.tensors import image, relative_error

GRID = 3, 4


def table(mode, heads=2):
    torch.manual_seed(0)
    return TableAffinity(heads, GRID, mode).double()


@pytest.mark.parametrize('mode', MODES)
def test_every_mode_is_the_table_itself_at_its_grid(mode):
    mixer, x = table(mode), image(2, 6, *GRID)
    expected = torch.einsum('mij,bmdj->bmdi', mixer.table, x.view(2, 2, 3, 12)).reshape(x.shape)
    assert relative_error(mixer(x), expected) < 1e-12


def test_tiles_are_mixed_one_by_one():
    mixer, x = table('tile'), image(1, 4, 7, 9)
    padded = F.pad(x, (0, 3, 0, 2))
    expected = torch.zeros_like(padded)
    for top in range(0, 9, 3):
        for left in range(0, 12, 4):
            tile = ..., slice(top, top + 3), slice(left, left + 4)
            expected[tile] = mixer.mix(padded[tile])
    assert relative_error(mixer(x), expected[:, :, :7, :9]) < 1e-12


def test_two_tiles_are_one_block_diagonal_table():
    mixer, x = table('tile', heads=1), image(1, 2, 6, 4)
    expected = x.flatten(2) @ torch.block_diag(mixer.table[0], mixer.table[0]).T
    assert relative_error(mixer(x), expected.view_as(x)) < 1e-12


@pytest.mark.parametrize('n', [1, 2, 3, 4, 5, 8, 13, 84])
@pytest.mark.parametrize('g', [1, 4, 7])
def test_resampling_matrices_keep_constants(n, g):
    like = torch.empty(0, dtype=torch.float64)
    p, u = down(n, g, like), up(g, n, like)
    assert p.shape == (g, n) and u.shape == (n, g)
    for matrix in (p, u):
        assert (matrix >= 0).all()
        torch.testing.assert_close(matrix.sum(1), torch.ones(len(matrix), dtype=like.dtype))
    if n == g:
        assert torch.equal(p, torch.eye(g, dtype=like.dtype)) and torch.equal(u, p)
    if n >= g and n % g == 0:
        torch.testing.assert_close(p, u.T * g / n)


@pytest.mark.parametrize('size', [(3, 4), (7, 9), (20, 4)])
def test_resampling_up_is_linear_interpolation(size):
    x = image(2, 3, *GRID)
    expected = F.interpolate(x, size, mode='bilinear', align_corners=False)
    assert relative_error(to_map(x, size), expected) < 1e-12


@pytest.mark.parametrize('size', [(1, 1), (2, 3)])
def test_resampling_down_to_a_smaller_map_reads_it_by_interpolation(size):
    x = image(2, 3, *size)
    expected = F.interpolate(x, GRID, mode='bilinear', align_corners=False)
    assert relative_error(to_grid(x, GRID), expected) < 1e-12


@pytest.mark.parametrize('size', [(1, 1), (2, 9), (7, 5), (6, 8)])
@pytest.mark.parametrize('mode', ['tile', 'resample'])
def test_any_size_is_linear_in_table_and_value(mode, size):
    mixer, x = table(mode), image(2, 6, *size)
    y = mixer(x)
    assert y.shape == x.shape
    with torch.no_grad():
        mixer.kernel.mul_(3)
    assert relative_error(mixer(2 * x), 6 * y) < 1e-12 and mixer.bias is None


def test_resampling_keeps_a_stochastic_table_stochastic():
    mixer = table('resample')
    with torch.no_grad():
        mixer.table.copy_(mixer.table.softmax(-1))
    constant = torch.full((1, 2, 5, 9), 2.5, dtype=torch.float64)
    torch.testing.assert_close(mixer(constant), constant)


def test_half_precision_resamples_in_single(dtype=torch.bfloat16):
    x = image(1, 2, 6, 8)
    assert to_grid(x.to(dtype), GRID).dtype == dtype
    assert (
        relative_error(to_grid(x.to(dtype), GRID).double(), to_grid(x.to(dtype).double(), GRID))
        < 4e-3
    )


def test_fixed_refuses_other_sizes():
    with pytest.raises(ValueError, match='takes maps of 3x4 tokens, got 3x5; resize the image'):
        table('fixed')(image(1, 2, 3, 5))


def test_unknown_modes_are_refused():
    with pytest.raises(ValueError, match="one of tile, resample, fixed, got 'tiles'"):
        table('tiles')
