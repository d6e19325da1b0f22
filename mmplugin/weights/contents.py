"""What a weight file holds: tensors by name, their wrappers and prefixes, and what is beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mmplugin.weights.scheme import load_any
from mmplugin.weights.sources import locate

# where training code keeps weights, the first one that is there is taken: MM and timm; DeiT and
# timm; their moving averages; DINO
WRAPPERS = (
    'state_dict', 'model', 'model_ema', 'state_dict_ema', 'module', 'teacher', 'student',
)  # fmt: skip
WRAPPINGS = ('module.', '_orig_mod.')
HEADS = ('bbox_head.', 'rpn_head.', 'roi_head.', 'mask_head.')


@dataclass
class Contents:
    """A weight file, read.

    Attributes:
        source: as the user named it.
        file: on this machine.
        tensors: all tensors of the chosen wrapper, freed of ``module.`` and ``_orig_mod.``.
        prefix: what stood before every name and was taken off, or ``''``.
        meta: the ``meta`` of an MM checkpoint or of a safetensors file; else empty.
        wrapper: keys passed on the way to the tensors, outermost first; empty for a bare file.
        others: wrappers that hold weights too and were not chosen.
        beside: other keys of the file.
    """

    source: str
    file: Path
    tensors: dict[str, Tensor]
    prefix: str
    meta: dict[str, Any]
    wrapper: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """``'segmentor'``, ``'detector'``, or ``'backbone'``, which here includes classifiers."""
        if any(key.startswith('decode_head.') for key in self.tensors):
            return 'segmentor'
        if any(key.startswith(HEADS) for key in self.tensors):
            return 'detector'
        return 'backbone'

    @property
    def network(self) -> tuple[dict[str, Tensor], str]:
        """The backbone's tensors with a classifier's head, freed of their prefix; and the prefix.

        The head of a classifier stands beside ``backbone.`` in mmpretrain's files, so it is kept;
        the heads of detectors and segmentors are not.
        """
        for prefix in ('backbone.', 'model.'):
            inside = {
                k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)
            }
            if inside:
                head = {k: v for k, v in self.tensors.items() if k.startswith('head.')}
                return {**head, **inside}, prefix
        return self.tensors, ''

    @property
    def outside(self) -> dict[str, Tensor]:
        """The tensors that ``network`` leaves out: neck and heads."""
        network, prefix = self.network
        return {
            k: v
            for k, v in self.tensors.items()
            if not k.startswith(prefix) and not (k.startswith('head.') and k in network)
        }


def read(source: str, wrapper: str | None = None) -> Contents:
    """Read a weight file without running anything in it.

    Args:
        source: path, URL, or name (``mmplugin://``, ``timm://``, ``hf://``).
        wrapper: which of a training file's weights to take, e.g. ``'model_ema'`` or
            ``'teacher'``. Default: the first of ``WRAPPERS`` that the file has.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no weight file, would run code, or has no such wrapper.
    """
    file = locate(source)
    content = load_any(str(file))
    if file.suffix == '.safetensors':  # our reader makes an MM checkpoint of it
        return Contents(source, file, *freed(content['state_dict']), meta=content['meta'])
    if not isinstance(content, Mapping):
        raise ValueError(f'{source}: holds a {type(content).__name__}, no tensors by name')
    meta = content.get('meta')
    path, others, beside = unwrap(source, content, wrapper)
    for key in path:
        content = content[key]
    tensors, prefix = freed(content)
    meta = dict(meta) if isinstance(meta, Mapping) else {}
    if isinstance(provenance := getattr(content, 'provenance', None), dict):
        meta['provenance'] = provenance
    return Contents(source, file, tensors, prefix, meta, path, others, beside)


def freed(content: Mapping) -> tuple[dict[str, Tensor], str]:
    """The tensors by name without what wraps every name, and what that was."""
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    prefix = ''
    while wrapping := next((w for w in WRAPPINGS if all(k.startswith(w) for k in tensors)), None):
        tensors = {key.removeprefix(wrapping): value for key, value in tensors.items()}
        prefix += wrapping
    return tensors, prefix


def holds_weights(value: Any) -> bool:
    """Whether a value is a mapping from dotted names to tensors."""
    return isinstance(value, Mapping) and any(
        isinstance(item, Tensor) and isinstance(key, str) and '.' in key
        for key, item in value.items()
    )


def unwrap(
    source: str, content: Mapping, wrapper: str | None
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The way to the weights, the wrappers not taken, and the other keys of the file.

    Raises:
        ValueError: when nothing in the file, or nothing under ``wrapper``, is a state dict.
    """
    if holds_weights(content) and wrapper is None:
        return (), (), ()
    found: dict[str, tuple[str, ...]] = {}
    for key, value in content.items():
        if not isinstance(value, Mapping) or not isinstance(key, str):
            continue
        if holds_weights(value):
            found[key] = (key,)
        else:  # a wrapper in a wrapper, as in {'model': {'state_dict': ...}}
            inner = next((k for k, v in value.items() if holds_weights(v)), None)
            if inner is not None:
                found[key] = (key, inner)
    wanted = [wrapper] if wrapper is not None else [*WRAPPERS, *found]
    taken = next((key for key in wanted if key in found), None)
    if taken is None:
        what = f'no weights under {wrapper!r}' if wrapper else 'no weights'
        there = ', '.join(map(str, found)) or ', '.join(str(key) for key in list(content)[:6])
        raise ValueError(f'{source}: holds {what}; it has {there or "nothing at all"}')
    others = tuple(key for key in found if key != taken)
    beside = tuple(str(key) for key in content if key not in found)
    return found[taken], others, beside
