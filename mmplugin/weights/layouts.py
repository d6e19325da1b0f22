"""What a published checkpoint layout is: how to know it, and how its keys map to ours."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """One published naming of a family's tensors.

    Attributes:
        name: as shown in reports.
        marker: regular expression; a file is of this layout when one of its keys matches whole.
        rename: all keys of a file -> {key of the file: key of ours}. Keys it cannot place map to
            themselves. Keys of ours are those of the backbone, plus ``head.*`` for a classifier.
        norms: beginnings of our names of output norms that every such file holds, so that their
            absence is an error. Default none.
    """

    name: str
    marker: str
    rename: Callable[[Iterable[str]], dict[str, str]]
    norms: tuple[str, ...] = ()

    def matches(self, keys: Iterable[str]) -> bool:
        """Whether the keys are of this layout."""
        return any(re.fullmatch(self.marker, key) for key in keys)


@dataclass(frozen=True)
class Target:
    """One naming that a file of ours can be written in.

    Attributes:
        name: as the user writes it.
        rules: {regular expression: replacement}, for ``rename_by``, from our keys to theirs. A key
            that no rule matches has no place in the target.
    """

    name: str
    rules: Mapping[str, str]

    def places(self, keys: Iterable[str]) -> dict[str, str]:
        """{key of ours: key of theirs}, without those that have no place."""
        keys = [key for key in keys if any(re.match(pattern, key) for pattern in self.rules)]
        return rename_by(self.rules, keys)


def rename_by(rules: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """Apply the first rule whose pattern matches from the start of a key.

    Args:
        rules: {regular expression: replacement as in ``re.sub``}.
        keys: keys to rename; one that no rule matches maps to itself.
    """
    renamed = {}
    for key in keys:
        pattern = next((p for p in rules if re.match(p, key)), None)
        renamed[key] = re.sub(f'^{pattern}', rules[pattern], key) if pattern else key
    return renamed


def listed(names: Iterable[str], most: int = 6) -> str:
    """The first names, and how many more there are."""
    names = [str(name) for name in names]
    rest = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + rest
