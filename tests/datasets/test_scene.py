import numpy as np
import pytest

from mmplugin.datasets.canvas import Canvas
from mmplugin.datasets.landscape import CLASSES, draw_landscape
from mmplugin.datasets.scene import KINDS, SIZES, draw_scene, kind_of
from mmplugin.datasets.shapes import SHAPES, coverage


def test_canvas_gives_each_pixel_to_the_topmost_object():
    canvas = Canvas(np.zeros((40, 40, 3), np.float32))
    skin = np.full((40, 40, 3), 255, np.float32)
    lower = coverage('square', (40, 40), (16, 20), 12)
    upper = coverage('square', (40, 40), (24, 20), 12)
    assert canvas.stamp(lower, skin) == 1
    assert canvas.stamp(upper, skin) == 2
    assert np.array_equal(canvas.visible(2), upper >= 0.5)
    assert np.array_equal(canvas.visible(1), (lower >= 0.5) & ~(upper >= 0.5))
    assert canvas.picture[canvas.visible(1)].min() > 0


def test_canvas_knows_what_would_be_hidden():
    canvas = Canvas(np.zeros((40, 40, 3), np.float32))
    small = coverage('disc', (40, 40), (20, 20), 5)
    canvas.stamp(small, np.zeros((40, 40, 3), np.float32))
    assert not canvas.leaves_visible(coverage('disc', (40, 40), (20, 20), 10), 0.4)
    assert canvas.leaves_visible(coverage('disc', (40, 40), (20, 20), 10), 0.0)
    assert canvas.leaves_visible(coverage('disc', (40, 40), (5, 5), 4), 1.0)
    outside = coverage('disc', (40, 40), (-30, 5), 4)
    assert not canvas.leaves_visible(outside, 0.0)


def test_the_first_five_pictures_show_every_kind():
    assert {kind_of(index) for index in range(5)} == set(KINDS)


@pytest.mark.parametrize('kind', KINDS)
def test_scene_of_each_kind(kind):
    scenes = [draw_scene(np.random.default_rng([7, seed]), kind) for seed in range(12)]
    for scene in scenes:
        assert scene.picture.dtype == np.uint8
        assert scene.picture.shape[:2] in SIZES
        assert scene.picture.ndim == (2 if kind == 'grey' else 3)
        union = np.zeros(scene.picture.shape[:2], int)
        for thing in scene.things:
            assert 0 <= thing.label < len(SHAPES)
            assert thing.mask.any()
            union += thing.mask
        assert union.max(initial=0) <= 1, 'visible masks overlap'
        crowds = [thing for thing in scene.things if thing.crowd]
        assert len(crowds) == (kind == 'crowd')
    areas = [int(thing.mask.sum()) for scene in scenes for thing in scene.things]
    assert (not areas) == (kind == 'empty')
    if kind == 'tiny':
        assert min(areas) <= 30
    if kind == 'plain':
        assert len({scene.picture.shape for scene in scenes}) > 1
        assert {thing.label for scene in scenes for thing in scene.things} == set(range(6))


def test_some_objects_are_partly_hidden():
    full, seen = 0, 0
    for seed in range(10):
        things = draw_scene(np.random.default_rng([3, seed])).things
        boxes = [thing.mask.any(axis=0).sum() * thing.mask.any(axis=1).sum() for thing in things]
        full += sum(boxes)
        seen += sum(thing.mask.sum() for thing in things)
    assert 0.2 < seen / full < 0.8


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'snow'"):
        draw_scene(np.random.default_rng(0), 'snow')


def test_landscape_uses_every_label_and_ignores_little():
    drawn = [draw_landscape(np.random.default_rng([5, seed])) for seed in range(40)]
    count = np.zeros(len(CLASSES) + 1, int)
    for picture, labels in drawn:
        assert picture.dtype == labels.dtype == np.uint8
        assert picture.shape == (*labels.shape, 3) and labels.shape in SIZES
        count += np.bincount(labels.ravel(), minlength=len(count))
    share = count / count.sum()
    assert len(share) == len(CLASSES) + 1 and share.min() > 0.005
    assert share[0] < 0.3
