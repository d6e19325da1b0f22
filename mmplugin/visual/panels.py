"""One picture with objects or a label map drawn over it, in a matplotlib axes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

Colour = tuple[float, float, float]


def unit_palette(metainfo: dict) -> list[Colour]:
    """Colours of a data set's classes in [0, 1], its own palette or matplotlib's."""
    import matplotlib

    palette = metainfo.get('palette')
    if palette:
        return [tuple(channel / 255 for channel in colour) for colour in palette]
    wheel = matplotlib.colormaps['tab20'].colors
    return [wheel[index % len(wheel)] for index in range(len(metainfo['classes']))]


def show_picture(axes: Axes, picture: np.ndarray, title: str) -> None:
    """Put ``(H, W, 3)`` uint8 RGB into the axes, without ticks."""
    axes.imshow(picture, interpolation='nearest')
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_objects(
    axes: Axes,
    masks: np.ndarray,
    boxes: np.ndarray,
    captions: Sequence[str],
    colours: Sequence[Colour],
    crowd: bool = False,
) -> None:
    """Draw masks, boxes and captions of the objects of one picture.

    Args:
        axes: With the picture in it.
        masks: ``(N, H, W)`` bool.
        boxes: ``(N, 4)`` x1, y1, x2, y2 in pixels.
        captions: One text an object.
        colours: One colour an object.
        crowd: Dashed boxes, no filling. Default: False.
    """
    # half a pixel: imshow puts the centre of the first pixel at 0
    for mask, box, caption, colour in zip(masks, boxes - 0.5, captions, colours):
        if not crowd:
            axes.imshow(_veil(mask, colour, 0.45), interpolation='nearest')
        if mask.any():
            axes.contour(mask, levels=[0.5], colors=[colour], linewidths=1.2)
        x, y, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
        style = '--' if crowd else '-'
        axes.add_patch(Rectangle((x, y), width, height, fill=False, ec=colour, lw=1.2, ls=style))
        axes.text(
            max(x, 0),
            max(y, 6),
            caption,
            fontsize=6.5,
            color='white',
            va='bottom',
            bbox=dict(facecolor=colour, edgecolor='none', pad=0.8),
        )


def draw_labels(
    axes: Axes, labels: np.ndarray, colours: Sequence[Colour], ignored: np.ndarray
) -> None:
    """Cover a picture with the colours of its classes.

    Args:
        axes: With the picture in it.
        labels: ``(H, W)`` class indices.
        colours: One colour a class.
        ignored: ``(H, W)`` bool, painted black: pixels that do not count.
    """
    table = np.array([*colours, (0.0, 0.0, 0.0)])
    index = np.where(ignored, len(colours), labels)
    veil = np.dstack([table[index], np.full(labels.shape, 0.72)])
    axes.imshow(veil, interpolation='nearest')


def _veil(mask: np.ndarray, colour: Colour, opacity: float) -> np.ndarray:
    """RGBA picture, ``(H, W, 4)``, of one colour where the mask is."""
    veil = np.zeros((*mask.shape, 4))
    veil[mask] = (*colour, opacity)
    return veil
