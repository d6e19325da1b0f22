"""Semantic scenes: patterned regions with shapes on them, one label per pixel."""

import numpy as np

from mmplugin.datasets.canvas import Canvas
from mmplugin.datasets.scene import MIN_VISIBLE, SIZES
from mmplugin.datasets.shapes import HUES, SHAPES, coverage
from mmplugin.datasets.textures import (
    PATTERNS,
    blend,
    dull_colour,
    pale_colour,
    sensor_noise,
    smooth_noise,
    surface,
)

STUFF: tuple[str, ...] = tuple(PATTERNS)
"""Region classes, told apart by their pattern and, less surely, by their pale colour."""

STUFF_HUES: tuple[float, ...] = tuple(30 + 360 * k / len(STUFF) for k in range(len(STUFF)))
"""The middle of each region class's hues in degrees."""

CLASSES: tuple[str, ...] = STUFF + SHAPES
"""All classes, in the order of the labels 1..K; label 0 is everything else."""


def draw_landscape(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one picture with its label map.

    Two or three regions meet at wavy borders; one in six carries no pattern and is label 0. On
    them lie four to seven shapes, which may hide parts of each other.

    Returns:
        The picture ``(H, W, 3)`` uint8 RGB and the labels ``(H, W)`` uint8, 0 = other, k = the
        k-th of ``CLASSES``, counted from 1.
    """
    size = SIZES[rng.integers(len(SIZES))]
    picture, ground = _regions(rng, size)
    canvas = Canvas(picture)
    owners = [0]
    for _ in range(rng.integers(4, 8)):
        shape = int(rng.integers(len(SHAPES)))
        cover = coverage(
            SHAPES[shape],
            size,
            rng.uniform((0.08, 0.08), (0.92, 0.92)) * size[::-1],
            radius=rng.uniform(12, 27),
            aspect=rng.uniform(0.6, 1.0),
            angle=rng.uniform(0, 2 * np.pi),
        )
        if canvas.leaves_visible(cover, MIN_VISIBLE):
            canvas.stamp(cover, surface(rng, size, canvas.backdrop(cover), HUES[shape]))
            owners.append(1 + len(STUFF) + shape)
    labels = np.where(canvas.owner > 0, np.array(owners)[canvas.owner], ground)
    return sensor_noise(rng, canvas.picture), labels.astype(np.uint8)


def _regions(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Patterned ground: ``(H, W, 3)`` float32 RGB and its ``(H, W)`` labels."""
    count = int(rng.integers(2, 4))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    along = x * np.cos(angle) + y * np.sin(angle) + 0.25 * smooth_noise(rng, size, 40)
    part = np.digitize(along, np.quantile(along, np.arange(1, count) / count))
    picture = np.zeros((*size, 3), np.float32)
    labels = np.zeros(size, np.int64)
    for number, stuff in enumerate(rng.permutation(len(STUFF))[:count]):
        other = rng.random() < 1 / 6
        where = part == number
        picture[where] = _ground(rng, size, None if other else int(stuff))[where]
        labels[where] = 0 if other else stuff + 1
    return picture, labels


def _ground(rng: np.random.Generator, size: tuple[int, int], stuff: int | None) -> np.ndarray:
    """One region's surface, ``(H, W, 3)`` float32 RGB; None is plain and greyish."""
    if stuff is None:
        base = dull_colour(rng)
        return blend(smooth_noise(rng, size, 20), base, base + rng.uniform(-20, 20))
    base = pale_colour(rng, STUFF_HUES[stuff])
    other = base + (1 if base.mean() < 128 else -1) * rng.uniform(30, 80)
    return blend(PATTERNS[STUFF[stuff]](rng, size, rng.uniform(8, 16)), base, other)
