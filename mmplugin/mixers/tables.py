"""A learned table of token-to-token weights as affinity, made usable at any map size."""

from math import isqrt

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmplugin.ops.resample import resize_table, to_grid, to_map
from mmplugin.ops.windows import join_windows, split_windows

MODES = ('tile', 'resample', 'fixed')


class TableAffinity(nn.Module):
    """``y = A x`` over the tokens of a grid, with one learned N x N table in each of M heads.

    On a map of the grid's size every mode is the table itself. On other sizes:

    - ``'tile'``: the map is cut into tiles of the grid's size, zeros past the border, and the table
      applied to each. Needs no training to make sense, so it is the default.
    - ``'resample'``: the map is resampled linearly to the grid, mixed there, and resampled back;
      the factored form of interpolating the table. Rows that sum to one still do.
    - ``'fixed'``: refused.

    A state dict with a table of another square grid is taken too: the table is resized to this grid
    as ``'resample'`` would have used it, and a line in the log says so.

    Starts uniform in +-1 / sqrt(N), as ``torch.nn.Linear`` does; the paper's start is not known.

    Args:
        num_heads: tables M; table m mixes channels m C / M to (m + 1) C / M.
        grid: (rows, columns) of tokens at pretraining.
        mode: ``'tile'``, ``'resample'`` or ``'fixed'``. Default ``'tile'``.

    Raises:
        ValueError: for another mode, and at the call for another map size in mode ``'fixed'``.
    """

    bias = None  # nothing that does not pass through the table

    def __init__(self, num_heads: int, grid: tuple[int, int], mode: str = 'tile') -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f'table mode must be one of {", ".join(MODES)}, got {mode!r}')
        self.grid = tuple(grid)
        self.mode = mode
        tokens = grid[0] * grid[1]
        self.table = nn.Parameter(torch.empty(num_heads, tokens, tokens))
        nn.init.uniform_(self.table, -(tokens**-0.5), tokens**-0.5)
        self.register_load_state_dict_pre_hook(resize_loaded)

    def can_resize(self, name: str, value: Tensor) -> bool:
        """Whether ``value`` is this table for another square grid."""
        return (
            name == 'table'
            and value.dim() == 3
            and value.shape[0] == self.table.shape[0]
            and value.shape[1] == value.shape[2] == isqrt(value.shape[1]) ** 2
            and value.shape[1] > 0
        )

    @property
    def kernel(self) -> nn.Parameter:
        """The parameter in which the result is linear."""
        return self.table

    def forward(self, value: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        size = tuple(value.shape[2:])
        if size == self.grid:
            return self.mix(value)
        if self.mode == 'fixed':
            raise ValueError(
                f'a token table of mode "fixed" takes maps of {self.grid[0]}x{self.grid[1]} '
                f'tokens, got {size[0]}x{size[1]}; resize the image, or choose mode "tile" or '
                '"resample"'
            )
        if self.mode == 'resample':
            return to_map(self.mix(to_grid(value, self.grid)), size)
        return join_windows(self.mix(split_windows(value, self.grid)), size)

    def mix(self, value: Tensor) -> Tensor:
        """The tables on maps of the grid's size."""
        heads = value.reshape(value.shape[0], len(self.table), -1, self.table.shape[1])
        return (heads @ self.table.mT).reshape(value.shape)  # B, M, C / M, N

    def extra_repr(self) -> str:
        return f'num_heads={len(self.table)}, grid={self.grid}, mode={self.mode!r}'


def resize_loaded(
    module: TableAffinity, state_dict: dict[str, Tensor], prefix: str, *unused: object
) -> None:
    """Before a state dict is loaded: a table of another grid becomes one of the module's."""
    key = f'{prefix}table'
    table = state_dict.get(key)
    if table is None or table.shape == module.table.shape or not module.can_resize('table', table):
        return  # what does not fit at all, torch refuses
    side = isqrt(table.shape[1])
    state_dict[key] = resize_table(table, (side, side), module.grid)
    print_log(
        f'{key}: resized from a grid of {side}x{side} tokens to {module.grid[0]}x{module.grid[1]}',
        logger='current',
    )
