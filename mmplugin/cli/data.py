"""Whether the data a config names is there, before anything is built."""

from collections.abc import Iterator
from pathlib import Path

from mmplugin.cli.errors import UserError


def check_data(cfg, *splits: str) -> None:
    """Look for the folders and annotation files of the named splits.

    Paths on other storage (with ``://``, or read through ``backend_args``) are not looked at.

    Args:
        cfg: mmengine Config.
        splits: of ``'train'``, ``'val'``, ``'test'``; those the config does not have are left out.

    Raises:
        UserError: for the first path that is missing.
    """
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader is None:
            continue
        for place, dataset in datasets_of(loader.get('dataset'), f'{split}_dataloader.dataset'):
            for key, path in paths_of(dataset):
                require(path, f'{place}.{key}')
        for metric in metrics_of(cfg.get(f'{split}_evaluator')):
            if metric.get('ann_file') and not metric.get('backend_args'):
                require(metric['ann_file'], f'{split}_evaluator.ann_file')


def datasets_of(node, place: str) -> Iterator[tuple[str, dict]]:
    """The data sets inside their wrappers, with the place of each in the config."""
    if not isinstance(node, dict):
        return
    if 'dataset' in node:
        yield from datasets_of(node['dataset'], f'{place}.dataset')
    elif 'datasets' in node:
        for i, part in enumerate(node['datasets']):
            yield from datasets_of(part, f'{place}.datasets.{i}')
    else:
        yield place, node


def metrics_of(evaluator) -> list[dict]:
    """The metrics of an evaluator in any of the forms a config may give it."""
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        evaluator = evaluator['metrics']
    if evaluator is None:
        return []
    return [evaluator] if isinstance(evaluator, dict) else list(evaluator)


def paths_of(dataset: dict) -> Iterator[tuple[str, str]]:
    """Key and path of all that a data set names, joined as mmengine's BaseDataset does."""
    if dataset.get('backend_args'):
        return
    root = dataset.get('data_root') or ''
    if root:
        yield 'data_root', root
    for key, value in (
        ('ann_file', dataset.get('ann_file')),
        *(
            (f'data_prefix.{name}', value)
            for name, value in (dataset.get('data_prefix') or {}).items()
        ),
    ):
        if isinstance(value, str) and value:
            yield key, value if '://' in value else str(Path(root, value))


def require(path: str, key: str) -> None:
    if '://' in path or Path(path).exists():
        return
    raise UserError(
        f'{key}: {path} does not exist (looked from {Path.cwd()}); put the data there, or name '
        f'its place with --cfg-options {key}=PATH'
    )
