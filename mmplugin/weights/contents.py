"""What a weight file holds: tensors by name, their wrappers and prefixes, and what is beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mmplugin.weights.scheme import load_any
from mmplugin.weights.sources import locate
from mmplugin.weights.unwrapping import freed, unwrap, within

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
        """The tensors of backbone and classifier, freed of their prefix; and the prefix."""
        for prefix in ('backbone.', 'model.'):
            inside, _ = within(self.tensors, prefix)
            if inside:
                return inside, prefix
        return self.tensors, ''

    @property
    def outside(self) -> dict[str, Tensor]:
        """The tensors that ``network`` leaves out: neck and heads of detectors and segmentors."""
        _, prefix = self.network
        _, beside = within(self.tensors, prefix)
        return {key: self.tensors[key] for key in beside} if prefix else {}


def read(source: str, wrapper: str | None = None) -> Contents:
    """Read a weight file without running anything in it.

    Args:
        source: path, URL, or name (``mmplugin://``, ``timm://``, ``hf://``).
        wrapper: which of a training file's weights to take, e.g. ``'model_ema'`` or
            ``'teacher'``. Default: as ``unwrap``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no weight file, would run code, has no such wrapper, or several
            of which none is known.
    """
    file = locate(source)
    content = load_any(str(file))
    if file.suffix == '.safetensors':  # our reader makes an MM checkpoint of it
        if wrapper is not None:
            raise ValueError(f'{source}: holds no {wrapper!r}; a safetensors file is tensors alone')
        return Contents(source, file, *freed(content['state_dict']), meta=content['meta'])
    found = unwrap(source, content, wrapper)
    tensors, prefix = freed(found.weights)
    meta = content.get('meta')
    meta = dict(meta) if isinstance(meta, Mapping) else {}
    if isinstance(provenance := getattr(found.weights, 'provenance', None), dict):
        meta['provenance'] = provenance
    return Contents(source, file, tensors, prefix, meta, found.path, found.others, found.beside)
