"""Average pooling as token mixer (PoolFormer, arXiv 2111.11418, section 3.2)."""

from torch import Tensor, nn

from mmplugin.ops.pool_residual import average_pool


class Pooling(nn.Module):
    """``pool(x) - x``; the subtraction removes what the block's residual adds back.

    Args:
        dim: channels; pooling has no parameters, so any value serves.
        pool_size: odd window size in pixels. Default 3.

    Raises:
        ValueError: for an even or non-positive ``pool_size``.
    """

    def __init__(self, dim: int, pool_size: int = 3) -> None:
        super().__init__()
        if pool_size < 1 or pool_size % 2 == 0:
            raise ValueError(f'pool_size must be a positive odd number, got {pool_size}')
        self.dim = dim
        self.pool_size = pool_size

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return average_pool(x, self.pool_size) - x

    def extra_repr(self) -> str:
        return f'{self.dim}, pool_size={self.pool_size}'
