import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.structures import BaseDataElement

from mmplugin.visual.comparison import pace, plot_comparison, running_mean
from mmplugin.visual.contact_sheet import draw_contact_sheet
from mmplugin.visual.curves import read_curves, training_logs
from mmplugin.visual.panels import draw_labels, draw_objects, show_picture, unit_palette


def painted(draw):
    """RGB pixels of a picture of 20 x 20 cells, 10 pixels each, after ``draw(axes)``."""
    figure = Figure(figsize=(2, 2), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    show_picture(axes, np.full((20, 20, 3), 255, np.uint8), '')
    draw(axes)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def test_labels_take_the_colours_of_their_classes_and_ignored_pixels_go_dark():
    labels = np.zeros((20, 20), int)
    labels[:, 10:] = 1
    ignored = np.zeros((20, 20), bool)
    ignored[10:] = True
    red, blue = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    pixels = painted(lambda axes: draw_labels(axes, labels, [red, blue], ignored))
    left, right, dark = pixels[50, 50], pixels[50, 150], pixels[150, 50]
    assert left[0] > left[2] + 100 and right[2] > right[0] + 100
    assert dark.max() < 100


def test_objects_are_filled_framed_and_a_crowd_only_framed():
    masks = np.zeros((1, 20, 20), bool)
    masks[0, 6:14, 6:14] = True
    boxes = np.array([[6, 6, 14, 14]])
    for crowd in (False, True):
        pixels = painted(
            lambda axes, crowd=crowd: draw_objects(
                axes, masks, boxes, ['thing'], [(1.0, 0.0, 0.0)], crowd
            )
        )
        assert (pixels[100, 100, 1] < 200) != crowd
        assert pixels[60:140, 57:63, 1].min() < 100, 'left edge of the box'
        assert pixels[10:30, 150:190].min() == 255


def test_palette_of_the_data_set_or_a_default_for_any_number_of_classes():
    assert unit_palette({'classes': ('a',), 'palette': [(255, 0, 51)]}) == [(1.0, 0.0, 0.2)]
    assert len(unit_palette({'classes': tuple('x' * 30)})) == 30


def test_contact_sheet_refuses_what_it_cannot_draw(tmp_path):
    with pytest.raises(ValueError, match='at least one'):
        draw_contact_sheet([], {'classes': ('a',)}, tmp_path / 'x.png')
    bare = BaseDataElement(metainfo=dict(img_path='a.jpg'))
    with pytest.raises(ValueError, match=r'a\.jpg lacks'):
        draw_contact_sheet([bare], {'classes': ('a',)}, tmp_path / 'x.png')
    assert not (tmp_path / 'x.png').exists()


def write_log(folder, records):
    path = folder / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(map(json.dumps, records)))
    return path


def test_epoch_metrics_are_placed_at_their_iteration(tmp_path):
    log = write_log(
        tmp_path / '1',
        [
            {'lr': 0.1, 'loss': 2.0, 'epoch': 1, 'iter': 10, 'step': 10},
            {'lr': 0.2, 'loss': 1.0, 'epoch': 1, 'iter': 25, 'step': 25},
            {'coco/bbox_mAP': 0.3, 'time': 1.0, 'step': 1},
            {'lr': 0.1, 'loss': 0.5, 'epoch': 2, 'iter': 50, 'step': 50},
            {'coco/bbox_mAP': 0.6, 'time': 1.0, 'step': 2},
        ],
    )
    train, val = read_curves([log])
    assert train['loss'] == ([10, 25, 50], [2.0, 1.0, 0.5])
    assert val['coco/bbox_mAP'] == ([25, 50], [0.3, 0.6])


def test_logs_of_a_work_dir(tmp_path):
    with pytest.raises(FileNotFoundError, match='no training log'):
        training_logs(tmp_path)
    second = write_log(tmp_path / '20260102_000000', [{'mIoU': 3, 'step': 1}])
    first = write_log(tmp_path / '20260101_000000', [])
    assert training_logs(tmp_path) == [first, second]
    with pytest.raises(ValueError, match='no training line'):
        read_curves([first, second])


def steps(first, last, loss, interval=10):
    return [{'loss': loss, 'iter': i} for i in range(first, last + 1, interval)]


@pytest.mark.parametrize(
    ('pieces', 'losses', 'metric'),
    [
        # killed at 35, resumed from the checkpoint and validation of 20
        (
            [
                [*steps(10, 20, 3), {'mIoU': 1}, steps(30, 30, 4)[0]],
                [*steps(30, 40, 2), {'mIoU': 5}],
            ],
            ([10, 20, 30, 40], [3, 3, 2, 2]),
            ([20, 40], [1, 5]),
        ),
        # resumed twice, the second time without coming to a line
        (
            [steps(10, 20, 3), [], [*steps(30, 30, 2), {'mIoU': 5}]],
            ([10, 20, 30], [3, 3, 2]),
            ([30], [5]),
        ),
        # killed while it validated, which is the first thing done after resuming
        (
            [steps(10, 20, 3), [{'mIoU': 5}, *steps(30, 40, 2)]],
            ([10, 20, 30, 40], [3, 3, 2, 2]),
            ([20], [5]),
        ),
        # begun anew, and logged less often
        (
            [[*steps(10, 60, 3), {'mIoU': 1}], [*steps(50, 100, 2, 50), {'mIoU': 5}]],
            ([50, 100], [2, 2]),
            ([100], [5]),
        ),
    ],
    ids=['killed', 'twice', 'validation first', 'anew'],
)
def test_pieces_of_a_resumed_training_are_joined(pieces, losses, metric, tmp_path):
    logs = [write_log(tmp_path / str(i), piece) for i, piece in enumerate(pieces)]
    train, val = read_curves(logs)
    assert train['loss'] == losses
    assert val['mIoU'] == metric


def test_comparison_names_speed_and_memory_and_refuses_a_metric_nobody_logged(tmp_path):
    assert pace({'time': ([5, 10, 15], [0.5, 0.4, 9.0])}) == '2 it/s'
    assert pace({'time': ([5], [0.25]), 'memory': ([5, 10], [512, 3072])}) == '4 it/s, 3 GB'
    log = write_log(tmp_path / '1', [{'loss': 1.0, 'time': 1.0, 'iter': 1}, {'mIoU': 3, 'step': 1}])
    with pytest.raises(ValueError, match=r"no validation metric 'mAP'; it has: mIoU$"):
        plot_comparison({'one': [log]}, tmp_path / 'x.png', 'mAP')
    assert not (tmp_path / 'x.png').exists()


def test_running_mean_takes_what_there_is():
    assert running_mean([3.0]).tolist() == [3.0]
    assert running_mean([1.0, 3.0]).tolist() == pytest.approx([1.0, 2.0])
    smooth = running_mean(list(range(30)))
    assert smooth[15] == 15 and smooth[0] == pytest.approx(2.0)
