"""A learned table of token-to-token weights as affinity, made usable at any map size."""

import torch
from torch import Tensor, nn

from mmplugin.ops.resample import to_grid, to_map
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
