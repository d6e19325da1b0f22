"""Write the zoo tables of the READMEs from the metafiles, or check that they agree.

Usage: python tools/make_readme.py [--check]
"""

import argparse
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
START, END = '<!-- zoo:start -->', '<!-- zoo:end -->'
COLUMNS = {
    'Object Detection': ('box AP', 'box AP50', 'box AP75'),
    'Instance Segmentation': ('mask AP', 'mask AP50', 'mask AP75'),
    'Semantic Segmentation': ('mIoU',),
}


def load_models() -> list[dict]:
    """Every model of every metafile that model-index.yml imports."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    metafiles = [yaml.safe_load((ROOT / path).read_text()) for path in index['Import']]
    return [model for metafile in metafiles for model in metafile['Models']]


def table(models: list[dict], folder: Path) -> str:
    """Markdown tables of sizes and published results, one for each set of tasks and input shape.

    Args:
        models: entries of metafiles.
        folder: where the table will stand; links are relative to it.
    """
    groups: dict[tuple, list[dict]] = {}
    for model in models:
        tasks = tuple(result['Task'] for result in model['Results'])
        groups.setdefault((tasks, *model['Metadata']['Shape']), []).append(model)
    parts = []
    for (tasks, height, width), group in groups.items():
        columns = [column for task in tasks for column in COLUMNS[task]]
        head = ['config', 'params (M)', 'MACs (G)', *columns, 'source', 'ours']
        rows = [head, ['---'] * len(head)]
        for model in group:
            metrics = {k: v for result in model['Results'] for k, v in result['Metrics'].items()}
            ours = [f'{k} {v}' for r in model['Results'] for k, v in r.get('Ours', {}).items()]
            config = ROOT / model['Config']
            link = Path(config).relative_to(folder) if folder in config.parents else config
            rows.append(
                [
                    f'[{model["Name"]}]({link.as_posix()})',
                    f'{model["Metadata"]["Parameters (M)"]:.1f}',
                    f'{model["Metadata"]["MACs (G)"]:.1f}',
                    *(str(metrics.get(column, '')) for column in columns),
                    model['Results'][0].get('Source', 'none'),
                    ', '.join(ours),
                ]
            )
        dataset = group[0]['Results'][0]['Dataset']
        title = f'**{" and ".join(tasks)}, {dataset}** (MACs at {height} x {width})'
        parts.append(f'{title}\n')
        parts.append('\n'.join(f'| {" | ".join(row)} |' for row in rows) + '\n')
    return '\n'.join(parts)


def updated(readme: Path, models: list[dict]) -> str:
    """The text of a README with its table made anew.

    Raises:
        ValueError: when the markers are missing.
    """
    text = readme.read_text()
    if START not in text or END not in text:
        raise ValueError(f'{readme} has no {START} ... {END} to fill')
    before, rest = text.split(START, 1)
    return f'{before}{START}\n{table(models, readme.parent)}{END}{rest.split(END, 1)[1]}'


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing; exit 1 if stale')
    check = parser.parse_args(argv).check
    models = load_models()
    readmes = {ROOT / 'README.md': models}
    for model in models:
        readmes.setdefault((ROOT / model['Config']).parent / 'README.md', []).append(model)
    stale = [path for path, part in readmes.items() if updated(path, part) != path.read_text()]
    for path in stale:
        print(f'{path.relative_to(ROOT)}: ' + ('stale' if check else 'written'))
        if not check:
            path.write_text(updated(path, readmes[path]))
    if check and stale:
        print('run: python tools/make_readme.py')
    return int(check and bool(stale))


if __name__ == '__main__':
    sys.exit(main())
