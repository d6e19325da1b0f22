"""A picture under construction that knows which object owns each pixel."""

import numpy as np


class Canvas:
    """Paint objects over each other and keep, per pixel, the number of the topmost one.

    Args:
        picture: ``(H, W, 3)`` float32 RGB background in [0, 255]; copied.

    Attributes:
        picture: The painted picture, ``(H, W, 3)`` float32.
        owner: ``(H, W)`` int32, 0 for the background, k for the k-th object stamped.
    """

    def __init__(self, picture: np.ndarray) -> None:
        self.picture = picture.astype(np.float32, copy=True)
        self.owner = np.zeros(picture.shape[:2], np.int32)
        self._full_area: list[int] = []

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.owner.shape

    def backdrop(self, cover: np.ndarray) -> np.ndarray:
        """Mean RGB colour, ``(3,)``, of what a shape of this coverage would hide."""
        hidden = self.picture[cover >= 0.5]
        return hidden.mean(axis=0) if len(hidden) else self.picture.mean(axis=(0, 1))

    def leaves_visible(self, cover: np.ndarray, share: float) -> bool:
        """Whether every earlier object would keep ``share`` of its area, and the new one exist."""
        mask = cover >= 0.5
        if not mask.any():
            return False
        left = np.bincount(self.owner[~mask], minlength=len(self._full_area) + 1)[1:]
        return bool((left >= share * np.array(self._full_area)).all())

    def stamp(self, cover: np.ndarray, skin: np.ndarray) -> int:
        """Paint ``skin`` where ``cover`` says so (both the size of the picture).

        A pixel belongs to the object from half coverage on. Returns the object's number.
        """
        weight = cover[..., None]
        self.picture = (1 - weight) * self.picture + weight * skin
        mask = cover >= 0.5
        self._full_area.append(int(mask.sum()))
        self.owner[mask] = len(self._full_area)
        return len(self._full_area)

    def visible(self, number: int) -> np.ndarray:
        """``(H, W)`` bool mask of what can be seen of an object."""
        return self.owner == number
