"""The result of a benchmark as tables and as a picture."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

from mmplugin.benchmark.where import COLUMNS

HEAD = (
    'network',
    'mode',
    'images',
    'peer',
    'ms',
    '+-',
    'calls',
    'x first',
    'x products',
    'GFLOP/s',
    'of copies',
    'saved MB',
    'peak MB',
)
ROOFLINE = (
    'network',
    'mode',
    'images',
    'GFLOP',
    'least GB',
    'FLOP per byte',
    'balance',
    'products ms',
    'between ms',
    'bytes ms',
    'bound by',
)
WHERE = ('network', 'mode', 'images', 'peer', 'profiled ms', *COLUMNS, 'page faults')


def markdown(head: Sequence[str], lines: Iterable[Sequence]) -> str:
    """A table; None is an empty cell."""
    rows = [head, ['---'] * len(head), *lines]
    return '\n'.join(
        '| ' + ' | '.join('' if cell is None else str(cell) for cell in row) + ' |' for row in rows
    )


def images_of(row: dict) -> str:
    return f'{row["batch"]} x {row["shape"][0]} x {row["shape"][1]}'


def table(rows: list[dict]) -> str:
    """One line a peer. ``x first`` is the speed over that of the first peer, ``x products`` the
    time over that of the products alone, ``GFLOP/s`` the network's products in the peer's time,
    ``of copies`` the bytes it has to move in that time, over what copies move in it."""
    return markdown(
        HEAD,
        (
            (
                row['network'],
                row['mode'],
                images_of(row),
                row['peer'],
                f'{row["ms"]:.1f}',
                f'{row["spread"]:.1f}',
                row['calls'],
                f'{row["speedup"]:.2f}',
                given(row['ms'] / row['products_ms'], '.2f') if row['gflop'] else None,
                given(row['gflop'] / row['ms'] * 1e3, '.0f') if row['gflop'] else None,
                given(row['bytes_ms'] and row['bytes_ms'] / row['ms'], '.0%'),
                given(row['saved_mb'], '.0f'),
                given(row['peak_mb'], '.0f'),
            )
            for row in rows
        ),
    )


def roofline_table(rows: list[dict], bandwidth: float) -> str:
    """One line a comparison: what the network needs at least, and what the machine offers.

    ``balance`` is the FLOP for which the machine's products take as long as one byte of its
    copies: a network with more FLOP per byte is bound by products.

    Args:
        rows: of ``compare``.
        bandwidth: of copies, in bytes a second.
    """
    lines = []
    for _, members in groupby(rows, key=group_of):
        row = next(members)
        products, least = row['products_ms'], row['gb']
        balance = row['gflop'] / products * 1e12 / bandwidth if products else None
        lines.append(
            (
                row['network'],
                row['mode'],
                images_of(row),
                given(row['gflop'], '.1f'),
                given(least, '.2f'),
                given(least and row['gflop'] / least, '.1f'),
                given(balance, '.1f'),
                given(products, '.1f'),
                given(row['between_ms'], '.1f'),
                given(row['bytes_ms'], '.1f'),
                row['bound'] if least else None,
            )
        )
    return markdown(ROOFLINE, lines)


def where_table(rows: list[dict]) -> str:
    """One line a peer: the milliseconds of a step by kind of operation, see ``whereabouts``."""
    lines = []
    for row in rows:
        *times, faults = row['where'].values()
        numbers = [f'{number:.0f}' for number in (sum(times), *times, faults)]
        lines.append((row['network'], row['mode'], images_of(row), row['peer'], *numbers))
    return markdown(WHERE, lines)


def given(number: float | None, form: str) -> str | None:
    """A number as text; None stays."""
    return None if number is None else format(number, form)


def group_of(row: dict) -> str:
    """What is compared with each other."""
    return f'{row["network"]} {row["mode"]}, {images_of(row)}'


def plot(rows: list[dict], out: str | Path) -> None:
    """Bars of milliseconds, one panel a comparison; lines where products and bytes alone end."""
    groups = [(title, list(members)) for title, members in groupby(rows, key=group_of)]
    figure = Figure(figsize=(8, 0.6 + 1.7 * len(groups)), layout='constrained')
    for axes, (title, members) in zip(figure.subplots(len(groups), squeeze=False)[:, 0], groups):
        names = [row['peer'] for row in members]
        bars = axes.barh(names, [row['ms'] for row in members], xerr=[r['spread'] for r in members])
        axes.bar_label(bars, [f' {row["speedup"]:.2f}x' for row in members])
        for key, style in (('products_ms', '--'), ('bytes_ms', ':')):
            if members[0][key] is not None:
                axes.axvline(members[0][key], color='black', linestyle=style, linewidth=1)
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.set_title(title, fontsize=9)
    axes.set_xlabel('milliseconds; dashed: the products alone; dotted: the bytes alone')
    figure.savefig(out, dpi=110)
