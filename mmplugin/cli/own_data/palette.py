"""Colours for classes that have none of their own."""

import colorsys


def palette(count: int) -> list[tuple[int, int, int]]:
    """That many different RGB colours, neighbours far apart, the same at every call."""
    golden = 0.618034  # turns of the hue circle that fill it evenly
    colours = (
        colorsys.hsv_to_rgb(i * golden % 1, 0.9 - 0.3 * (i % 2), 0.9 - 0.2 * (i % 3))
        for i in range(count)
    )
    return [tuple(round(255 * part) for part in colour) for colour in colours]
