"""The shapes of the generated pictures: outlines in a unit frame and their pixel coverage."""

import cv2
import numpy as np

SUPERSAMPLING = 4
"""Sub-pixels per pixel and axis when a shape is rasterised."""

_SUBPIXEL_BITS = 6  # cv2.fillPoly takes fixed-point coordinates


def _regular(corners: int, radius: float = 1.0, turn: float = -0.5) -> np.ndarray:
    """Corners of a regular polygon, ``(corners, 2)``; ``turn`` in units of pi (-0.5: one up)."""
    angles = np.pi * (2 * np.arange(corners) / corners + turn)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star() -> np.ndarray:
    points = np.empty((10, 2))
    points[0::2] = _regular(5)
    points[1::2] = _regular(5, radius=0.42, turn=-0.3)
    return points


def _cross(arm: float = 0.32) -> np.ndarray:
    quarter = np.array([[arm, arm], [1.0, arm], [1.0, -arm]])
    turns = [np.array([[c, s], [-s, c]]) for c, s in ((1, 0), (0, -1), (-1, 0), (0, 1))]
    return np.concatenate([quarter @ turn for turn in turns])


OUTLINES: dict[str, tuple[np.ndarray, ...]] = {
    'disc': (_regular(48),),
    'square': (_regular(4, turn=-0.25),),
    'triangle': (_regular(3),),
    'star': (_star(),),
    'cross': (_cross(),),
    'ring': (_regular(48), _regular(48, radius=0.55)),
}
"""Closed outlines per class inside the unit circle; a second outline is a hole."""

SHAPES: tuple[str, ...] = tuple(OUTLINES)

HUES: tuple[float, ...] = tuple(360 * k / len(SHAPES) for k in range(len(SHAPES)))
"""The middle of each class's hues in degrees; neighbours overlap, and then the form decides."""


def coverage(
    name: str,
    size: tuple[int, int],
    centre: tuple[float, float],
    radius: float,
    aspect: float = 1.0,
    angle: float = 0.0,
) -> np.ndarray:
    """Rasterise one shape.

    Args:
        name: One of ``SHAPES``.
        size: Height and width of the picture in pixels.
        centre: x and y in pixels; the shape may reach over the border.
        radius: Half the long axis in pixels.
        aspect: Short axis over long axis, in (0, 1]. Default: 1.
        angle: Rotation in radians. Default: 0.

    Returns:
        ``(H, W)`` float32, the covered share of each pixel in [0, 1].

    Raises:
        KeyError: For an unknown name.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    frame = np.diag([radius, radius * aspect]) @ np.array([[cos, sin], [-sin, cos]])
    scale = SUPERSAMPLING * 2**_SUBPIXEL_BITS
    # fillPoly puts pixel centres on whole numbers, hence the half sub-pixel
    shift = 2 ** (_SUBPIXEL_BITS - 1)
    rings = [
        np.round((outline @ frame + centre) * scale - shift).astype(np.int32)
        for outline in OUTLINES[name]
    ]
    height, width = size
    fine = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.uint8)
    cv2.fillPoly(fine, rings, 255, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    coarse = fine.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING).mean(axis=(1, 3))
    return (coarse / 255).astype(np.float32)
