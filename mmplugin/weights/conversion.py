"""From any known layout to any other, by name, without changing a value."""

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from mmplugin.weights.contents import Contents, read
from mmplugin.weights.detectors import upgraded_meta, upgraded_rest
from mmplugin.weights.families import FAMILIES, TARGET_NAMES, Family, layout_name, recognise
from mmplugin.weights.layouts import Layout, listed
from mmplugin.weights.writing import check_target, sha256_of, write_weights

OURS = re.compile(r'(stem|stages|norms)\.|head\.(norm\.|fc\.)?(weight|bias)$')


def canonical(contents: Contents) -> tuple[Family, Layout, dict[str, Tensor]]:
    """The backbone or classifier of a file under our names.

    Tensors that the layout does not know keep their names.

    Raises:
        ValueError: the file is of no known layout.
    """
    network, _ = contents.network
    known = recognise(network)
    if known is None:
        names = ', '.join(f'{f.name} ({", ".join(i.name for i in f.layouts)})' for f in FAMILIES)
        raise ValueError(
            f'{contents.source}: is of no layout known here, which are {names}; its first tensors '
            f'are {listed(network, 4)}'
        )
    family, layout = known
    return family, layout, {new: network[old] for old, new in layout.rename(network).items()}


def translate(
    contents: Contents, to: str, drop: bool = False, backbone: bool = False
) -> tuple[str, dict[str, Tensor], list[str]]:
    """The tensors of a file in another layout, each the same object as in the file.

    Detectors and segmentors keep their neck and heads in the layouts ``'mmplugin'`` and
    ``'official'``; elsewhere these have no place.

    Args:
        contents: of the file.
        to: a name of ``TARGET_NAMES``.
        drop: leave out what has no place in the target, instead of refusing. Default False.
        backbone: take the backbone of a detector or segmentor alone. Default False.

    Returns:
        The layout of the file, the tensors under their new names, and the names left out.

    Raises:
        ValueError: an unknown layout on either side, tensors without a place, or names that the
            target could not be read back from.
    """
    family, layout, ours = canonical(contents)
    target = next((t for t in family.targets if t.name == to), None)
    if target is None:
        raise ValueError(
            f'{contents.source}: {family.name} has no layout {to!r}; it has '
            f'{", ".join(t.name for t in family.targets)}'
        )
    places = target.places(key for key in ours if OURS.match(key))
    homeless = [key for key in ours if key not in places]
    whole = is_whole(contents, to, backbone)
    outside = upgraded_rest(contents) if whole else {}
    if not whole and not backbone:
        homeless += contents.outside
    if homeless and not drop:
        raise ValueError(
            f'{contents.source}: {len(homeless)} tensors have no place in the {to} layout '
            f'({listed(homeless)}); --drop leaves them out'
        )
    translated = {new: ours[old] for old, new in places.items()}
    check_readable(contents.source, translated, places, family, to)
    if whole:
        translated = {f'backbone.{key}': value for key, value in translated.items()} | outside
    name = layout_name(layout.name, ours, contents.network[1])
    return name, translated, homeless


def is_whole(contents: Contents, to: str, backbone: bool) -> bool:
    """Whether a detector or segmentor keeps its neck and heads."""
    return contents.task != 'backbone' and not backbone and to in ('mmplugin', 'official')


def check_readable(
    source: str, translated: dict[str, Tensor], places: dict[str, str], family: Family, to: str
) -> None:
    """Refuse names from which a reader would not get ours back.

    Raises:
        ValueError: the target has no names for this form of the network, or one name for two
            tensors.
    """
    plain = {key.removeprefix('backbone.'): key for key in translated}
    known = recognise(plain)
    back = {}
    if known is not None and known[0] is family and len(plain) == len(places):
        back = {plain[old]: new for old, new in known[1].rename(plain).items()}
    wrong = [old for old, new in places.items() if back.get(new) != old]
    if wrong:
        raise ValueError(
            f'{source}: the {to} layout has no names of its own for {listed(wrong)}, so that the '
            'file would be read as another network; convert to mmplugin'
        )


def convert(
    source: str,
    target: str | Path,
    to: str,
    tool: str,
    wrapper: str | None = None,
    drop: bool = False,
    backbone: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Write the weights of a file in another layout.

    The target is there whole or not at all. It carries ``provenance``: the source's name without
    folders, its SHA-256, both layouts and the tool.

    Args:
        source: path, URL or name, as ``contents.read`` takes it.
        target: ``.safetensors`` or ``.pth``.
        to: layout of the target, a name of ``TARGET_NAMES``.
        tool: name and version of the program, for the provenance.
        wrapper: which weights of a training file. Default: as ``contents.read``.
        drop: leave out what has no place in the target. Default False.
        backbone: take the backbone of a detector or segmentor alone. Default False.
        force: overwrite the target. Default False.

    Returns:
        What was done: ``from``, ``to``, ``tensors``, ``dropped``, ``provenance``.

    Raises:
        FileNotFoundError: no such source.
        ValueError: as ``read``, ``translate`` and ``write_weights``.
    """
    if to not in TARGET_NAMES:
        raise ValueError(f'no layout {to!r}; there are {", ".join(TARGET_NAMES)}')
    target = Path(target)
    check_target(target, force)
    contents = read(source, wrapper)
    layout, tensors, dropped = translate(contents, to, drop, backbone)
    provenance = {
        'source': source if '://' in source else Path(source).name,
        'sha256': sha256_of(contents.file),
        'from': layout,
        'to': to,
        'tool': tool,
    }
    if contents.wrapper:
        provenance['wrapper'] = '.'.join(contents.wrapper)
    meta = upgraded_meta(contents.meta) if is_whole(contents, to, backbone) else {}
    write_weights(target, tensors, provenance, meta, force)
    return {
        'from': layout,
        'to': to,
        'tensors': len(tensors),
        'dropped': dropped,
        'provenance': provenance,
    }
