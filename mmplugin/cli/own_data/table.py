"""Numbers as text for the log."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

Data = TypeVar('Data')


def amount(count: int, one: str, more: str = '') -> str:
    """``1 image``, ``2,000 images``."""
    return f'{count:,} {one if count == 1 else more or f"{one}s"}'


def table(names: Sequence[str], title: str, columns: dict[str, Sequence[str]]) -> list[str]:
    """Lines with one row a class and one column a split.

    Args:
        names: of the classes.
        title: what the numbers are.
        columns: {split: one text a class}.
    """
    first = max(len(name) for name in (*names, title))
    widths = {key: max(map(len, (key, *values))) for key, values in columns.items()}
    rows = [(title, columns.keys()), *zip(names, zip(*columns.values()))]
    return [
        f'  {name:<{first}}'
        + ''.join(f'  {text:>{width}}' for text, width in zip(texts, widths.values()))
        for name, texts in rows
    ]


def spread(sizes: Iterable[tuple[int, int]]) -> str:
    """Sizes in words: one, or the smallest and the largest by area."""
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    least, most = (f'{width}x{height}' for width, height in (by_area[0], by_area[-1]))
    return least if len(by_area) == 1 else f'{least} to {most}'


def once_each(by_split: dict[str, Data]) -> dict[str, Data]:
    """Splits of the same data under one name, such as ``train = val``."""
    names: dict[int, str] = {}
    for split, data in by_split.items():
        key = id(data)
        names[key] = f'{names[key]} = {split}' if key in names else split
    return {names[id(data)]: data for data in by_split.values()}
