"""Checking what a config hands to a backbone."""

from collections.abc import Sequence

NUM_STAGES = 4


def resolve_out_indices(out_indices: Sequence[int]) -> tuple[int, ...]:
    """Stage numbers 0..3 in the order given, negatives counted from the end.

    Raises:
        ValueError: for an empty list, an index out of range or one given twice.
    """
    indices = [out_indices] if isinstance(out_indices, int) else out_indices
    is_list = isinstance(indices, (list, tuple)) and all(type(i) is int for i in indices)
    resolved = tuple(i + NUM_STAGES if i < 0 else i for i in indices) if is_list else ()
    if not resolved or any(i not in range(NUM_STAGES) for i in resolved):
        raise ValueError(
            f'out_indices are stage numbers 0 to {NUM_STAGES - 1} (or -{NUM_STAGES} to -1), '
            f'got {out_indices!r}'
        )
    if len(set(resolved)) < len(resolved):
        raise ValueError(f'out_indices names a stage twice: {out_indices!r}')
    return resolved


def check_fast(family: str, fast: bool | str, choices: Sequence[bool | str]) -> None:
    """Refuse a value of the ``fast`` argument that the family does not have.

    Raises:
        ValueError: naming the choices.
    """
    if not isinstance(fast, (bool, str)) or fast not in choices:
        raise ValueError(
            f'{family}: fast is {", ".join(map(repr, choices[:-1]))} or {choices[-1]!r}, '
            f'got {fast!r}'
        )


def resolve_arch(family: str, arch: str | dict, variants: dict[str, dict], defaults: dict) -> dict:
    """Settings of a variant, from its name or from a dict.

    Args:
        family: name for messages.
        arch: a key of ``variants``, or a dict with at least ``depths`` and ``embed_dims``.
        variants: the family's table.
        defaults: every other setting of the family with its default, a tuple where it is one
            value a stage.

    Raises:
        ValueError: for an unknown name, unknown or missing keys, or lists not of four entries.
    """
    if isinstance(arch, str) and arch in variants:
        arch = variants[arch]
    if not isinstance(arch, dict):
        raise ValueError(
            f'{family} has no arch {arch!r}; choose one of {", ".join(map(repr, variants))}, '
            'or give a dict with depths and embed_dims'
        )
    settings = {**defaults, **arch}
    allowed = {'depths', 'embed_dims', *defaults}
    unknown, missing = sorted(set(settings) - allowed), sorted(allowed - set(settings))
    if unknown or missing:
        raise ValueError(
            f'{family}: arch dict '
            + ', '.join(
                f'{what} {", ".join(keys)}'
                for what, keys in (('has unknown', unknown), ('lacks', missing))
                if keys
            )
            + f'; its keys are {", ".join(sorted(allowed))}'
        )
    per_stage = {key for key, value in defaults.items() if isinstance(value, tuple)}
    for key in ('depths', 'embed_dims', *sorted(per_stage)):
        if not isinstance(settings[key], (list, tuple)) or len(settings[key]) != NUM_STAGES:
            raise ValueError(f'{family}: {key} takes one value a stage (4), got {settings[key]!r}')
        if key in ('depths', 'embed_dims') and not all(
            type(n) is int and n > 0 for n in settings[key]
        ):
            raise ValueError(f'{family}: {key} are positive whole numbers, got {settings[key]!r}')
    return settings
