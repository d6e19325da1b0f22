"""What differs between two weight files, whatever layouts they are in."""

from typing import Any

import torch
from torch import Tensor

from mmplugin.weights.contents import Contents, read
from mmplugin.weights.families import recognise


def named_alike(contents: Contents) -> dict[str, Tensor]:
    """All tensors of a file: backbone or classifier under our names, the rest as they are."""
    network, _ = contents.network
    known = recognise(network)
    if known is None:
        return contents.tensors
    return {new: network[old] for old, new in known[1].rename(network).items()} | contents.outside


def diff(a: str, b: str) -> dict[str, Any]:
    """Compare two files tensor by tensor.

    Args:
        a, b: paths, URLs or names, as ``contents.read`` takes them.

    Returns:
        ``equal`` (number of tensors that are bit by bit the same), ``only_a``, ``only_b`` (names),
        ``shapes``, ``dtypes`` ({name: (of a, of b)}), ``values`` ({name: largest difference;
        infinite where one has an infinity or NaN and the other not}).

    Raises:
        FileNotFoundError: no such file.
        ValueError: as ``contents.read``.
    """
    first, second = named_alike(read(a)), named_alike(read(b))
    report: dict[str, Any] = {
        'equal': 0,
        'only_a': sorted(first.keys() - second.keys()),
        'only_b': sorted(second.keys() - first.keys()),
        'shapes': {},
        'dtypes': {},
        'values': {},
    }
    for key in sorted(first.keys() & second.keys()):
        x, y = first[key], second[key]
        if x.shape != y.shape:
            report['shapes'][key] = (tuple(x.shape), tuple(y.shape))
        elif x.dtype != y.dtype:
            report['dtypes'][key] = (str(x.dtype), str(y.dtype))
        elif same_bits(x, y):
            report['equal'] += 1
        else:
            report['values'][key] = largest_difference(x, y)
    return report


def same_bits(x: Tensor, y: Tensor) -> bool:
    """Whether two tensors of one shape and type are the same to the last bit."""
    return torch.equal(*(t.contiguous().reshape(-1).view(torch.uint8) for t in (x, y)))


def largest_difference(x: Tensor, y: Tensor) -> float:
    x, y = x.double(), y.double()
    difference = torch.where(x == y, 0.0, (x - y).abs())  # infinity less infinity is NaN
    return difference.nan_to_num(nan=torch.inf, posinf=torch.inf).max().item()
