"""Where the weights are in the file of a training program, and what stands before their names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmplugin.weights.layouts import listed

# where training code keeps weights, the first one that is there is taken: MM and timm; DeiT and
# timm; their moving averages; DINO
WRAPPERS = (
    'state_dict', 'model', 'model_ema', 'state_dict_ema', 'module', 'teacher', 'student',
)  # fmt: skip
WRAPPINGS = ('module.', '_orig_mod.')


@dataclass(frozen=True)
class Unwrapped:
    """The weights of a file, and what is around them.

    Attributes:
        weights: the mapping that holds them, with whatever else is in it.
        path: keys passed on the way, outermost first; empty for a bare file.
        others: names of the weights not taken.
        beside: other keys of the file.
    """

    weights: Mapping
    path: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def holds_weights(value: Any) -> bool:
    """Whether a value is a mapping from dotted names to tensors."""
    return isinstance(value, Mapping) and any(
        isinstance(item, Tensor) and isinstance(key, str) and '.' in key
        for key, item in value.items()
    )


def unwrap(source: str, content: Any, wrapper: str | None = None) -> Unwrapped:
    """Find the weights in what a file holds.

    They are at the top, under a key, or under a key of a key, as in
    ``{'model': {'state_dict': ...}}``.

    Args:
        source: of the content, for messages.
        content: as read.
        wrapper: the key to take, ``'model'`` or ``'model.state_dict'``. Default: the first of
            ``WRAPPERS`` that has weights; where none has, the only key that does.

    Raises:
        ValueError: when nothing in the file, or nothing under ``wrapper``, is a state dict; or
            when several are, and nothing tells which to take.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f'{source}: holds a {type(content).__name__}, no tensors by name')
    if wrapper is None and holds_weights(content):
        return Unwrapped(content)
    found = list(ways(content))
    fitting = [way for way in found if wrapper in (None, way[0], '.'.join(way))]
    if not fitting:
        what = f'no weights under {wrapper!r}' if wrapper else 'no weights'
        there = listed(map('.'.join, found)) or listed(content) or 'nothing at all'
        raise ValueError(f'{source}: holds {what}; it has {there}')
    taken = preferred(source, fitting)
    weights = content
    for key in taken:
        weights = weights[key]
    return Unwrapped(
        weights,
        path=taken,
        others=tuple('.'.join(way) for way in found if way != taken),
        beside=tuple(str(key) for key in content if key not in {way[0] for way in found}),
    )


def ways(content: Mapping) -> Iterator[tuple[str, ...]]:
    """The keys that lead to weights, one or two deep."""
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Mapping):
            continue
        if holds_weights(value):
            yield (key,)
        else:
            yield from (
                (key, k) for k, v in value.items() if isinstance(k, str) and holds_weights(v)
            )


def preferred(source: str, ways: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The way to take: at each step by the first of ``WRAPPERS``, else by the only key."""
    step = 0
    while len(ways) > 1:
        keys = {way[step] for way in ways}
        key = next((known for known in WRAPPERS if known in keys), None)
        if key is None and len(keys) > 1:
            raise ValueError(
                f'{source}: holds several sets of weights, {listed(map(".".join, ways))}; choose '
                'with --wrapper (`python tools/weights.py convert` makes a file of that one)'
            )
        ways = [way for way in ways if key in (None, way[step])]
        step += 1
    return ways[0]


def freed(
    content: Mapping, wrappings: tuple[str, ...] = WRAPPINGS
) -> tuple[dict[str, Tensor], str]:
    """The tensors by name without what wraps every name, and what that was."""
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    prefix = ''
    while tensors and (
        wrapping := next((w for w in wrappings if all(k.startswith(w) for k in tensors)), None)
    ):
        tensors = {key.removeprefix(wrapping): value for key, value in tensors.items()}
        prefix += wrapping
    return tensors, prefix


def within(tensors: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under a prefix, freed of it, and the names of those beside it.

    The head of a classifier stands beside ``backbone.`` in mmpretrain's files, so ``head.*`` goes
    with the former. Without a tensor under the prefix there is nothing.
    """
    inside = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    if not inside:
        return {}, list(tensors)
    head = {k: v for k, v in tensors.items() if k.startswith('head.')}
    return {**head, **inside}, [k for k in tensors if not k.startswith((prefix, 'head.'))]
