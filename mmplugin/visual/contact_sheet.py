"""A page of pictures: ground truth on the left of each pair, prediction on the right."""

from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmplugin.visual.panels import Colour, draw_labels, draw_objects, show_picture, unit_palette

PAIRS_A_ROW = 2
CELL_INCHES = 2.7
MAX_LEGEND_COLUMNS = 9


def draw_contact_sheet(
    samples: list, metainfo: dict, out: str | Path, score_thr: float = 0.5, title: str = ''
) -> None:
    """Draw mmdet or mmseg data samples with their ground truth and save the page as a picture.

    Args:
        samples: Data samples whose prediction and ground truth have the size of the file at
            ``img_path``, as from test pipelines that load annotations after resizing.
        metainfo: Of the data set: ``classes`` and optionally ``palette``.
        out: Picture file; its folder must exist.
        score_thr: Objects below it are not drawn. Default: 0.5.
        title: Text above the page. Default: none.

    Raises:
        ValueError: Without samples, for samples of neither framework or without ground truth, and
            for a picture file that cannot be read.
    """
    if not samples:
        raise ValueError('a contact sheet needs at least one data sample')
    rows = -(-len(samples) // PAIRS_A_ROW)
    columns = 2 * min(PAIRS_A_ROW, len(samples))
    size = (columns * CELL_INCHES, rows * CELL_INCHES + 1.0)
    figure = Figure(figsize=size, layout='constrained')
    cells = figure.subplots(rows, columns, squeeze=False).reshape(-1, 2)
    for unused in cells[len(samples) :].ravel():
        unused.set_axis_off()
    colours = unit_palette(metainfo)
    seen: set[int] = set()
    for pair, sample in zip(cells, samples):
        if 'gt_instances' in sample and 'pred_instances' in sample:
            seen |= _draw_instances(pair, sample, metainfo['classes'], colours, score_thr)
        elif 'gt_sem_seg' in sample and 'pred_sem_seg' in sample:
            seen |= _draw_semantic(pair, sample, colours)
        else:
            raise ValueError(
                f'data sample of {sample.img_path} lacks ground truth or prediction; does the test '
                'pipeline load annotations?'
            )
    figure.legend(
        handles=[Patch(color=colours[k], label=metainfo['classes'][k]) for k in sorted(seen)],
        loc='outside lower center',
        ncols=min(max(len(seen), 1), MAX_LEGEND_COLUMNS),
        fontsize=9,
        frameon=False,
    )
    figure.suptitle(title, fontsize=12)
    figure.savefig(out, dpi=120)


def _draw_instances(
    pair: np.ndarray, sample, classes: tuple, colours: list[Colour], score_thr: float
) -> set[int]:
    """Fill both axes from an mmdet sample; the classes that occur."""
    truth, crowd = sample.gt_instances, sample.ignored_instances
    found = sample.pred_instances[sample.pred_instances.scores >= score_thr]
    _background(pair, sample, f'truth, {_count(len(truth))}', f'predicted, {_count(len(found))}')
    captions = [f'{classes[k]} {score:.2f}' for k, score in zip(found.labels, found.scores)]
    _objects(pair[0], truth, [classes[k] for k in truth.labels], colours)
    _objects(pair[0], crowd, [f'crowd of {classes[k]}' for k in crowd.labels], colours, crowd=True)
    _objects(pair[1], found, captions, colours)
    return {int(k) for part in (truth, crowd, found) for k in part.labels}


def _objects(
    axes: Axes, things, captions: list[str], colours: list[Colour], crowd: bool = False
) -> None:
    boxes = getattr(things.bboxes, 'tensor', things.bboxes).cpu().numpy().reshape(-1, 4)
    if not len(boxes):
        return
    masks = things.get('masks')
    if masks is None:
        masks = np.zeros((len(boxes), 1, 1), bool)
    elif hasattr(masks, 'to_ndarray'):
        masks = masks.to_ndarray().astype(bool)
    else:
        masks = masks.cpu().numpy()
    draw_objects(axes, masks, boxes, captions, [colours[k] for k in things.labels], crowd)


def _draw_semantic(pair: np.ndarray, sample, colours: list[Colour]) -> set[int]:
    """Fill both axes from an mmseg sample; the classes that occur."""
    truth = sample.gt_sem_seg.data[0].cpu().numpy()
    found = sample.pred_sem_seg.data[0].cpu().numpy()
    ignored = truth >= len(colours)
    right = 100 * (truth == found)[~ignored].mean() if not ignored.all() else float('nan')
    _background(pair, sample, 'truth', f'predicted, {right:.0f} % of pixels right')
    draw_labels(pair[0], truth, colours, ignored)
    draw_labels(pair[1], found, colours, ignored)
    return {int(k) for part in (truth[~ignored], found[~ignored]) for k in np.unique(part)}


def _background(pair: np.ndarray, sample, left: str, right: str) -> None:
    picture = cv2.imread(sample.img_path, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f'cannot read the picture {sample.img_path}')
    picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    show_picture(pair[0], picture, f'{Path(sample.img_path).stem}: {left}')
    show_picture(pair[1], picture, right)


def _count(number: int) -> str:
    return f'{number} object' if number == 1 else f'{number} objects'
