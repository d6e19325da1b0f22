"""Instance scenes: shapes over a noisy background, with the mask of what is visible of each."""

from dataclasses import dataclass

import cv2
import numpy as np

from mmplugin.datasets.canvas import Canvas
from mmplugin.datasets.shapes import HUES, SHAPES, coverage
from mmplugin.datasets.textures import clutter, sensor_noise, surface

SIZES = ((128, 128), (128, 96), (96, 128), (112, 128), (128, 112), (120, 160), (160, 120))
"""Heights and widths that occur."""

KINDS = ('plain', 'empty', 'grey', 'crowd', 'tiny')
_CYCLE = {1: 'empty', 2: 'grey', 3: 'crowd', 4: 'tiny', 21: 'empty', 23: 'crowd', 34: 'tiny'}

MIN_VISIBLE = 0.5
"""No object is hidden further than to this share of its own area."""


@dataclass(frozen=True)
class Thing:
    """One annotated object: its class, its visible mask ``(H, W)`` bool, crowd or not."""

    label: int
    mask: np.ndarray
    crowd: bool = False


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 RGB ``(H, W, 3)`` or grey ``(H, W)``, and its objects, farthest first."""

    picture: np.ndarray
    things: tuple[Thing, ...]
    kind: str


def kind_of(index: int) -> str:
    """What the picture of this number shows.

    Of 40 pictures two are empty, one grey, two hold a crowd and two tiny objects; the first five
    pictures show every kind.
    """
    return _CYCLE.get(index % 40, 'plain')


def draw_scene(rng: np.random.Generator, kind: str = 'plain') -> Scene:
    """Draw one picture.

    Args:
        rng: The only source of chance.
        kind: One of ``KINDS``: 'empty' has no object, 'grey' has no colour, 'crowd' adds a cluster
            annotated as one crowd, 'tiny' adds objects a few pixels wide. Default: 'plain'.

    Returns:
        The scene; its classes are indices into ``shapes.SHAPES``.

    Raises:
        ValueError: For an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f'unknown kind of scene {kind!r}; known: {", ".join(KINDS)}')
    painter = _Painter(rng, Canvas(clutter(rng, SIZES[rng.integers(len(SIZES))])))
    crowd = painter.cluster() if kind == 'crowd' else ()
    if kind != 'empty':
        for _ in range(rng.integers(2, 6)):
            painter.place(rng.integers(len(SHAPES)), radius=rng.uniform(12, 28))
    if kind == 'tiny':
        for _ in range(2):
            painter.place(rng.integers(len(SHAPES)), radius=rng.uniform(2, 4))
    picture = sensor_noise(rng, painter.canvas.picture)
    if kind == 'grey':
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return Scene(picture, painter.things(crowd), kind)


class _Painter:
    """Places shapes at random without hiding any too far."""

    def __init__(self, rng: np.random.Generator, canvas: Canvas) -> None:
        self.rng = rng
        self.canvas = canvas
        self.labels: list[int] = []

    def place(
        self, label: int, radius: float, centre: tuple[float, float] | None = None, tries: int = 20
    ) -> int | None:
        """Stamp one shape, at a random place unless given one; its number, or None if no room."""
        height, width = self.canvas.size
        for _ in range(tries):
            where = centre or self.rng.uniform((0.08, 0.08), (0.92, 0.92)) * (width, height)
            cover = coverage(
                SHAPES[label],
                self.canvas.size,
                where,
                radius,
                aspect=self.rng.uniform(0.6, 1.0),
                angle=self.rng.uniform(0, 2 * np.pi),
            )
            if self.canvas.leaves_visible(cover, MIN_VISIBLE):
                backdrop = self.canvas.backdrop(cover)
                skin = surface(self.rng, self.canvas.size, backdrop, HUES[label])
                self.labels.append(int(label))
                return self.canvas.stamp(cover, skin)
        return None

    def cluster(self) -> tuple[int, ...]:
        """Stamp many small shapes of one class close together; their numbers."""
        label = self.rng.integers(len(SHAPES))
        height, width = self.canvas.size
        middle = self.rng.uniform(0.25, 0.75, 2) * (width, height)
        spots = [tuple(middle + self.rng.normal(0, 14, 2)) for _ in range(12)]
        numbers = [self.place(label, self.rng.uniform(4, 7), spot, tries=1) for spot in spots]
        return tuple(number for number in numbers if number is not None)

    def things(self, crowd: tuple[int, ...]) -> tuple[Thing, ...]:
        """What is visible, objects first, then the crowd as one thing."""
        found = [
            Thing(label, self.canvas.visible(number))
            for number, label in enumerate(self.labels, start=1)
            if number not in crowd
        ]
        if crowd:
            mask = np.isin(self.canvas.owner, crowd)
            found.append(Thing(self.labels[crowd[0] - 1], mask, crowd=True))
        return tuple(found)
