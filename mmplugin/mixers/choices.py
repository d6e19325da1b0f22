"""The parts of a context aggregation by name, one choice a stage, as configs give them."""

from collections.abc import Sequence

from mmplugin.mixers.affinities import DepthwiseAffinity, SelfAffinity
from mmplugin.mixers.context_aggregation import ContextAggregation
from mmplugin.mixers.gates import GATES
from mmplugin.mixers.tables import TableAffinity


def build_mixer(
    stage: int,
    settings: dict,
    grid: int,
    gate: str | None,
    window_size: int | None,
    table_mode: str | None,
) -> ContextAggregation:
    """The token mixer of a stage.

    Args:
        stage: 0 to 3.
        settings: of the arch: ``embed_dims``, ``num_heads``, ``dynamic`` and ``static``, one value
            a stage each, and ``kernel_size``.
        grid: side of the stage's map at pretraining, in tokens.
        gate: ``'convex'`` or ``'free'``; None is convex.
        window_size: of attention, in tokens, or None.
        table_mode: of token tables; None is ``'tile'``.
    """
    dim, heads = settings['embed_dims'][stage], settings['num_heads'][stage]
    kind = settings['static'][stage]
    dynamic, static = None, None
    if settings['dynamic'][stage]:
        dynamic = SelfAffinity(heads, window_size)
    if kind == 'conv':
        static = DepthwiseAffinity(dim, settings['kernel_size'])
    elif kind == 'table':
        static = TableAffinity(heads, (grid, grid), table_mode or 'tile')
    both = dynamic is not None and static is not None
    return ContextAggregation(dim, dynamic, static, GATES[gate or 'convex']() if both else None)


def check_choices(settings: dict, gate: str | None, table_mode: str | None) -> None:
    """Raise a ValueError for choices that do not exist, do not fit or have no use in the arch."""
    for key in ('kernel_size', 'img_size'):
        if type(settings[key]) is not int or settings[key] < 1:
            raise ValueError(f'{key} is a positive whole number, got {settings[key]!r}')
    parts = list(zip(settings['dynamic'], settings['static']))
    for stage, (dynamic, static) in enumerate(parts):
        if static not in ('conv', 'table', None):
            raise ValueError(f"static is 'conv', 'table' or None, got {static!r}")
        if not dynamic and static is None:
            raise ValueError(f'stage {stage + 1} has neither a dynamic nor a static part')
        dim, heads = settings['embed_dims'][stage], settings['num_heads'][stage]
        if (dynamic or static == 'table') and (type(heads) is not int or heads < 1 or dim % heads):
            raise ValueError(
                f'num_heads {heads!r} does not divide the {dim} channels of stage {stage + 1}'
            )
    if gate not in (None, *GATES):
        raise ValueError(f'gate is one of {", ".join(GATES)}, got {gate!r}')
    if gate and not any(dynamic and static for dynamic, static in parts):
        raise ValueError('gate given, but no stage of this arch has two parts to mix')
    if table_mode and not any(static == 'table' for _, static in parts):
        raise ValueError('table_mode given, but no stage of this arch has a table')


def resolve_windows(
    window_size: int | Sequence[int | None] | None, dynamic: Sequence[bool]
) -> tuple[int | None, ...]:
    """Window side of each stage; one number leaves stage 4, whose maps are small, without.

    Raises:
        ValueError: for windows under one token, or where no attention would use them.
    """
    if window_size is None:
        return (None,) * 4
    if isinstance(window_size, int):
        windows = tuple(window_size if use else None for use in dynamic[:3]) + (None,)
        misplaced = not any(windows)
    else:
        windows = tuple(window_size)
        misplaced = any(size and not use for size, use in zip(windows, dynamic))
    if len(windows) != 4 or any(size is not None and size < 1 for size in windows):
        raise ValueError(
            'window_size is a positive number of tokens, or four of them or None, one '
            f'a stage, got {window_size!r}'
        )
    if misplaced:
        raise ValueError(
            f'window_size {window_size!r}, but this arch has attention only where '
            f'dynamic is True: {tuple(dynamic)}'
        )
    return windows
