import numpy as np
import pytest

from mmplugin.datasets.shapes import SHAPES, coverage

# area of each shape inside the unit circle: n-gon n/2 sin(2 pi/n); star 5 r sin(pi/5);
# cross 4 arm (2 - arm), as far as its arms reach
AREAS = {
    'disc': 3.1326,
    'square': 2.0,
    'triangle': 1.2990,
    'star': 5 * 0.42 * np.sin(np.pi / 5),
    'cross': 4 * 0.32 * (2 - 0.32),
    'ring': 3.1326 * (1 - 0.55**2),
}


def test_every_shape_has_its_area_known():
    assert set(AREAS) == set(SHAPES)


@pytest.mark.parametrize('name', SHAPES)
def test_area_is_the_analytic_one_at_any_angle_and_aspect(name):
    for angle, aspect in ((0.0, 1.0), (0.7, 1.0), (2.1, 0.6)):
        cover = coverage(name, (128, 160), (80.3, 61.7), 40, aspect, angle)
        assert cover.shape == (128, 160)
        assert cover.min() == 0 and cover.max() == 1
        assert cover.sum() == pytest.approx(AREAS[name] * 40 * 40 * aspect, rel=0.03)


@pytest.mark.parametrize('name', SHAPES)
def test_centre_of_mass_is_the_centre(name):
    cover = coverage(name, (96, 96), (40.5, 50.25), 24, 0.8, 1.2)
    y, x = np.mgrid[:96, :96] + 0.5
    middle = np.array([(x * cover).sum(), (y * cover).sum()]) / cover.sum()
    assert np.abs(middle - (40.5, 50.25)).max() < 0.35


def test_ring_has_a_hole():
    cover = coverage('ring', (64, 64), (32, 32), 20)
    assert cover[32, 32] == 0 and cover[32, 47] == 1


def test_shape_may_reach_over_the_border():
    half = coverage('square', (40, 40), (0, 20), 10).sum()
    assert half == pytest.approx(coverage('square', (40, 40), (20, 20), 10).sum() / 2, rel=0.1)


def test_unknown_shape_is_refused():
    with pytest.raises(KeyError, match='hexagon'):
        coverage('hexagon', (8, 8), (4, 4), 2)
