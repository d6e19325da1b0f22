"""What a weight file is: network, layout, task, and how many parameters each part has."""

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmplugin.weights.contents import read
from mmplugin.weights.families import layout_name, recognise
from mmplugin.weights.writing import sha256_of

BUFFERS = ('running_mean', 'running_var', 'num_batches_tracked')

Shapes = Mapping[str, tuple[int, ...]]


def inspect(
    source: str, name_variant: Callable[[str, Shapes], str | None], wrapper: str | None = None
) -> dict[str, Any]:
    """Describe a weight file.

    Args:
        source: path, URL or name, as ``contents.read`` takes it.
        name_variant: (family, shapes under our names) -> name of the variant, or None.
        wrapper: which weights of a training file. Default: as ``contents.read``.

    Returns:
        Plain values under ``file``, ``bytes``, ``sha256``, ``format``, ``family``, ``layout``,
        ``variant``, ``task``, ``tensors``, ``parameters``, ``parts`` (parameters of each),
        ``dtypes`` (tensors of each), ``wrapper``, ``other_weights``, ``beside``, ``prefix``,
        ``meta``, ``provenance``. What does not apply is None or empty; a file of a foreign network
        has no family.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as ``contents.read``.
    """
    contents = read(source, wrapper)
    network, prefix = contents.network
    known = recognise(network)
    named = known[1].rename(network) if known else {key: key for key in network}
    ours = {new: network[old] for old, new in named.items()}
    task = contents.task
    if task == 'backbone' and any(key.startswith('head.') for key in ours):
        task = 'classifier'
    shapes = {key: tuple(value.shape) for key, value in ours.items()}
    parts: Counter[str] = Counter()
    for key, value in (ours | contents.outside).items():
        if not key.endswith(BUFFERS):
            parts[part_of(key)] += value.numel()
    file = contents.file
    return {
        'file': source,
        'bytes': file.stat().st_size,
        'sha256': sha256_of(file),
        'format': format_of(file),
        'family': known[0].name if known else None,
        'layout': layout_name(known[1].name, ours, prefix) if known else None,
        'variant': name_variant(known[0].name, shapes) if known else None,
        'task': task if known or task != 'backbone' else None,
        'tensors': len(contents.tensors),
        'parameters': sum(parts.values()),
        'parts': {part: parts[part] for part in sorted(parts, key=position_of)},
        'dtypes': dict(Counter(dtype_of(value) for value in contents.tensors.values())),
        'wrapper': '.'.join(contents.wrapper) or None,
        'other_weights': list(contents.others),
        'beside': list(contents.beside),
        'prefix': contents.prefix + prefix or None,
        'meta': sorted(map(str, contents.meta)),
        'provenance': contents.meta.get('provenance'),
    }


def part_of(key: str) -> str:
    """The part of the network that a tensor belongs to, as shown to the user."""
    stage = re.match(r'stages\.(\d)\.', key)
    if stage:
        return f'stage {int(stage[1]) + 1}'
    first = key.partition('.')[0]
    return {'norms': 'output norms', 'head': 'classifier'}.get(first, first)


ORDER = ('stem', 'stage 1', 'stage 2', 'stage 3', 'stage 4', 'output norms')


def position_of(part: str) -> tuple[int, str]:
    """Parts in the order of the network, neck and heads behind it."""
    return (ORDER.index(part) if part in ORDER else len(ORDER)), part


def dtype_of(value: Tensor) -> str:
    return str(value.dtype).removeprefix('torch.')


def format_of(path: Path) -> str:
    if path.suffix == '.safetensors':
        return 'safetensors'
    return 'PyTorch zip' if zipfile.is_zipfile(path) else 'PyTorch, before 1.6'
