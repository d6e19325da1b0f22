"""What tools/weights.py shows: variants by name, and reports as text."""

import sys
from collections.abc import Iterable

from mmplugin.weights import zoo
from mmplugin.weights.inspecting import Shapes


def name_variant(family: str, shapes: Shapes) -> str | None:
    """The variant whose stem and stages have exactly these tensors, by building each.

    Args:
        family: name of a registered class.
        shapes: {name of ours: shape}; output norms and heads do not count.

    Returns:
        The name for ``arch``, or None when it is no named size.
    """
    import torch

    from mmplugin.registry import MODELS

    cls = MODELS.get(f'mmplugin.{family}')
    wanted = trunk(shapes.items())
    for name in sys.modules[cls.__module__].VARIANTS:
        with torch.device('meta'):
            state = cls(arch=name).state_dict()
        if trunk((key, tuple(value.shape)) for key, value in state.items()) == wanted:
            return name
    return None


def trunk(items: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    """Stem and stages of a state dict."""
    return {key: shape for key, shape in items if key.startswith(('stem.', 'stages.'))}


def described(report: dict) -> str:
    """The report of ``inspect`` as lines for people."""
    lines = []
    for key, value in report.items():
        if value in (None, [], {}) or key == 'parts':
            continue
        if isinstance(value, dict):
            value = ', '.join(f'{name}: {item}' for name, item in value.items())
        elif isinstance(value, list):
            value = ', '.join(value)
        elif isinstance(value, int):
            value = f'{value:,}'
        lines.append(f'{key.replace("_", " "):<14}{value}')
    lines += ['', f'{"part":<20}{"parameters":>14}']
    lines += [f'{part:<20}{count:>14,}' for part, count in report['parts'].items()]
    return '\n'.join(lines)


def differences(report: dict) -> str:
    """The report of ``diff`` as lines for people."""
    lines = [f'only in the first: {key}' for key in report['only_a']]
    lines += [f'only in the second: {key}' for key in report['only_b']]
    for what, values in (('shape', report['shapes']), ('type', report['dtypes'])):
        lines += [f'{key}: {what} {a} and {b}' for key, (a, b) in values.items()]
    lines += [f'{key}: differ by up to {value:.3g}' for key, value in report['values'].items()]
    return '\n'.join([*lines, f'{report["equal"]} tensors are bit by bit the same'])


def table() -> str:
    """The published weights as a Markdown table, for the shell and docs/weights.md."""
    rows = [
        ('name', 'published accuracy', 'licence', 'where', 'SHA-256'),
        ('---',) * 5,
        *(
            (
                f'`{row.name}`',
                published_accuracy(row),
                row.licence or 'your own',
                ', '.join(f'[{host_of(s.url)}]({s.url})' for s in row.sources)
                or (f'by hand from [this page]({row.page})' if row.page else row.note),
                ', '.join(sorted({f'{s.sha256}…' for s in row.sources if s.sha256})) or 'not known',
            )
            for row in zoo.TABLE
        ),
    ]
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def published_accuracy(row: zoo.Weights) -> str:
    figures = ', '.join(f'{name} {value}' for name, value in row.accuracy.items())
    return f'{figures} ({row.accuracy_source})' if figures else 'none'


def host_of(url: str) -> str:
    """The machine a URL names."""
    return url.split('/')[2]
