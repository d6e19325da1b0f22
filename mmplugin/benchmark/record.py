"""A result as text and in a folder."""

import json
from collections.abc import Callable
from pathlib import Path


def publish(
    name: str,
    machine: dict,
    results: dict,
    tables: list[str],
    plot: Callable[[Path], None],
    folder: str | None,
) -> str:
    """The tables as text; with a folder, ``NAME.json``, ``NAME.md`` and ``NAME.png`` there too.

    Args:
        name: of the files.
        machine: what stands above the tables.
        results: what the record holds beside it.
        tables: in Markdown.
        plot: draws the picture into a file.
        folder: is made where it does not exist; None writes nothing.
    """
    text = '\n\n'.join(['\n'.join(f'{key}: {value}' for key, value in machine.items()), *tables])
    if folder is None:
        return text
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    record = json.dumps({'machine': machine, **results}, indent=2)
    (out / f'{name}.json').write_text(record, encoding='utf-8')
    (out / f'{name}.md').write_text(text + '\n', encoding='utf-8')
    plot(out / f'{name}.png')
    return text
