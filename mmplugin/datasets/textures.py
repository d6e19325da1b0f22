"""Seeded textures: patterns with values in [0, 1] and coloured surfaces made of them."""

from colorsys import hsv_to_rgb

import cv2
import numpy as np

Size = tuple[int, int]
LUMA = np.array((0.299, 0.587, 0.114))
MAX_TRIES = 50


def smooth_noise(rng: np.random.Generator, size: Size, cell: float) -> np.ndarray:
    """Soft blobs about ``cell`` pixels wide, ``(H, W)`` float32 stretched to [0, 1]."""
    height, width = size
    grid = rng.random((int(height / cell) + 3, int(width / cell) + 3), dtype=np.float32)
    noise = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = noise.min(), noise.max()
    return (noise - low) / max(high - low, 1e-6)


def _axes(rng: np.random.Generator, size: Size, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Two rotated coordinates in periods, at a random angle and offset."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    angle, *offset = rng.uniform(0, 2 * np.pi, 3)
    u = (x * np.cos(angle) + y * np.sin(angle)) / period + offset[0]
    v = (y * np.cos(angle) - x * np.sin(angle)) / period + offset[1]
    return u.astype(np.float32), v.astype(np.float32)


def stripes(rng: np.random.Generator, size: Size, period: float) -> np.ndarray:
    """Parallel stripes, ``(H, W)`` float32."""
    u, _ = _axes(rng, size, period)
    return _soft_step(np.sin(2 * np.pi * u))


def checks(rng: np.random.Generator, size: Size, period: float) -> np.ndarray:
    """A checkerboard, ``(H, W)`` float32."""
    u, v = _axes(rng, size, period)
    return _soft_step(np.sin(2 * np.pi * u) * np.sin(2 * np.pi * v) * 2)


def dots(rng: np.random.Generator, size: Size, period: float) -> np.ndarray:
    """Round dots on a grid, ``(H, W)`` float32."""
    u, v = _axes(rng, size, period)
    return _soft_step(np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v) - 0.7)


def _soft_step(wave: np.ndarray) -> np.ndarray:
    return np.clip(0.5 + 2 * wave, 0, 1).astype(np.float32)


PATTERNS = {'stripes': stripes, 'checks': checks, 'dots': dots}


def blend(pattern: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mix two RGB colours by a ``(H, W)`` pattern: ``(H, W, 3)`` float32 in [0, 255]."""
    mix = pattern[..., None]
    return ((1 - mix) * first + mix * second).astype(np.float32)


def clutter(rng: np.random.Generator, size: Size) -> np.ndarray:
    """A background: cloudy, striped, checked or dotted in dull colours that drift."""
    base = dull_colour(rng)
    name = rng.choice(['smooth', *PATTERNS])
    if name == 'smooth':
        pattern = smooth_noise(rng, size, rng.uniform(8, 40))
    else:
        pattern = PATTERNS[name](rng, size, rng.uniform(8, 24))
    other = np.clip(base + rng.uniform(-45, 45) + rng.uniform(-8, 8, 3), 0, 255)
    drift = smooth_noise(rng, size, 64)[..., None] * rng.uniform(-40, 40)
    return blend(pattern, base, other) + drift.astype(np.float32)


def dull_colour(rng: np.random.Generator) -> np.ndarray:
    """A greyish RGB colour, ``(3,)``."""
    return rng.uniform(50, 200) + rng.uniform(-25, 25, 3)


def pale_colour(rng: np.random.Generator, hue: float, spread: float = 15) -> np.ndarray:
    """A pale RGB colour, ``(3,)``, its hue about ``hue`` degrees (standard deviation: spread)."""
    tint = (hue + rng.normal(0, spread)) / 360 % 1
    return 255 * np.array(hsv_to_rgb(tint, rng.uniform(0.15, 0.35), rng.uniform(0.3, 0.8)))


def surface(
    rng: np.random.Generator, size: Size, backdrop: np.ndarray, hue: float, spread: float = 15
) -> np.ndarray:
    """The skin of one object: a bright colour with shading.

    Args:
        rng: The only source of chance.
        size: Height and width.
        backdrop: Mean RGB colour behind the object, ``(3,)``; the brightness keeps a distance, so
            that the object can be seen in a grey picture too.
        hue: Middle of its hues in degrees.
        spread: Standard deviation of the hue in degrees. Default: 15.

    Returns:
        ``(H, W, 3)`` float32 RGB.
    """
    tint = (hue + rng.normal(0, spread)) / 360 % 1
    for _ in range(MAX_TRIES):
        colour = 255 * np.array(hsv_to_rgb(tint, rng.uniform(0.55, 1), rng.uniform(0.5, 1)))
        if abs((colour - backdrop) @ LUMA) >= 25:
            break
    shade = smooth_noise(rng, size, 24) * 2 - 1
    return (colour + shade[..., None] * rng.uniform(5, 30)).astype(np.float32)


def sensor_noise(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Add pixel noise of a random strength and round: ``(H, W, 3)`` uint8."""
    noise = rng.standard_normal(picture.shape, dtype=np.float32) * rng.uniform(2, 9)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
