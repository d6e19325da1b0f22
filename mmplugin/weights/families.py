"""Which families there are, and in which layouts their weights come and go."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mmplugin.weights import container, poolformer
from mmplugin.weights.layouts import Layout, Target


@dataclass(frozen=True)
class Family:
    """The layouts of one family of backbones.

    Attributes:
        name: of the registered class.
        layouts: those it is read from.
        targets: those it can be written in.
    """

    name: str
    layouts: tuple[Layout, ...]
    targets: tuple[Target, ...]


FAMILIES = (
    Family('PoolFormer', poolformer.LAYOUTS, poolformer.TARGETS),
    Family('Container', container.LAYOUTS, container.TARGETS),
)
TARGET_NAMES = tuple(dict.fromkeys(t.name for family in FAMILIES for t in family.targets))


def recognise(keys: Iterable[str]) -> tuple[Family, Layout] | None:
    """The family and the layout that the keys of a backbone or classifier are of, if any."""
    keys = list(keys)
    for family in FAMILIES:
        for layout in family.layouts:
            if layout.matches(keys):
                return family, layout
    return None


def layout_name(name: str, ours: Collection[str], prefix: str) -> str:
    """The layout, where two share their names told apart by what stands beside them.

    Args:
        name: of the layout.
        ours: the keys, renamed to ours.
        prefix: what stood before the backbone's keys.
    """
    if name == 'released':
        return 'official'
    is_classifier = any(key.startswith('head.') for key in ours)
    if name == 'official' and prefix == 'backbone.' and is_classifier:
        return 'mmpretrain'
    if name == 'timm or mmplugin':
        if prefix or any(key.startswith('norms.') for key in ours):
            return 'mmplugin'
        return 'timm' if is_classifier else name
    return name
