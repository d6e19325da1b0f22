"""The result of a benchmark as a table and as a picture."""

from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

HEAD = ('network', 'mode', 'image', 'peer', 'ms', '+-', 'calls', 'x first', 'x ceiling', 'saved MB')


def table(rows: list[dict]) -> str:
    """Rows as a Markdown table; ``x first`` is the speed over that of the group's first peer."""
    lines = ['| ' + ' | '.join(HEAD) + ' |', '|' + ' --- |' * len(HEAD)]
    for row in rows:
        over = f'{row["ms"] / row["ceiling"]:.2f}' if row['ceiling'] else ''
        saved = f'{row["saved_mb"]:.0f}' if row['saved_mb'] else ''
        cells = (
            row['backbone'],
            row['mode'],
            f'{row["batch"]} x {row["shape"][0]} x {row["shape"][1]}',
            row['peer'],
            f'{row["ms"]:.1f}',
            f'{row["spread"]:.1f}',
            row['calls'],
            f'{row["speedup"]:.2f}',
            over,
            saved,
        )
        lines.append('| ' + ' | '.join(map(str, cells)) + ' |')
    return '\n'.join(lines)


def group_of(row: dict) -> str:
    """What is compared with each other."""
    height, width = row['shape']
    return f'{row["backbone"]} {row["mode"]}, {row["batch"]} x {height} x {width}'


def plot(rows: list[dict], out: str | Path) -> None:
    """Bars of milliseconds, one panel a comparison; a line where convolutions alone would end."""
    groups = [(title, list(members)) for title, members in groupby(rows, key=group_of)]
    figure = Figure(figsize=(8, 0.6 + 1.7 * len(groups)), layout='constrained')
    for axes, (title, members) in zip(figure.subplots(len(groups), squeeze=False)[:, 0], groups):
        names = [row['peer'] for row in members]
        bars = axes.barh(names, [row['ms'] for row in members], xerr=[r['spread'] for r in members])
        axes.bar_label(bars, [f' {row["speedup"]:.2f}x' for row in members])
        if members[0]['ceiling']:
            axes.axvline(members[0]['ceiling'], color='black', linestyle='--', linewidth=1)
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.set_title(title, fontsize=9)
    axes.set_xlabel('milliseconds; dashed: the convolutions alone')
    figure.savefig(out, dpi=110)
