"""The spatial prior of SMCA's decoder layers (arXiv 2101.07448, section 3.2)."""

from torch import Tensor, arange, nn


class SpatialModulation(nn.Module):
    """Where each head of each query looks, as the logarithm of a Gaussian weight.

    Every head has a centre of its own, the query's reference point plus an offset, and a scale
    along each axis, squared (``type3`` of the released code): with squared scales s, centre c and
    cell p, the logarithm is ``-(s_x (c_x - p_x)^2 + s_y (c_y - p_y)^2) / smooth``. Cells count from
    0, as in the released code, and heads start with scales of 1.

    Args:
        embed_dims: Channels of a query.
        num_heads: Heads of the cross-attention.
        smooth: Divisor of the squared distance in cells, above 0. Default: 8.

    Raises:
        ValueError: for a ``smooth`` that is not above 0.
    """

    def __init__(self, embed_dims: int, num_heads: int, smooth: float = 8.0) -> None:
        super().__init__()
        if smooth <= 0:
            raise ValueError(f'smooth must be above 0, got {smooth!r} (8 in the paper)')
        self.num_heads = num_heads
        self.smooth = smooth
        self.norm = nn.LayerNorm(embed_dims)
        self.offsets = nn.Linear(embed_dims, 2 * num_heads)
        self.scales = nn.Linear(embed_dims, 2 * num_heads)
        self.start_round()

    def start_round(self) -> None:
        """Set every scale to 1, whatever the query."""
        nn.init.zeros_(self.scales.weight)
        nn.init.ones_(self.scales.bias)

    def forward(self, query: Tensor, centre: Tensor, shape: tuple[int, int]) -> Tensor:
        """The prior over all cells of the map.

        Args:
            query: (batch, queries, embed_dims), normed by ``norm``.
            centre: Reference points (batch, queries, 2) as x, y in cells.
            shape: Height and width of the map in cells.

        Returns:
            (batch, heads, queries, height * width), to be added to the attention's logits.
        """
        heads = (self.num_heads, 2)
        points = centre[:, :, None] + self.offsets(query).unflatten(-1, heads)
        # in the query's precision: autocast would square in bfloat16, to whole cells from 16 on
        scales = self.scales(query).unflatten(-1, heads).to(query.dtype).square()
        height, width = (arange(side, device=query.device, dtype=query.dtype) for side in shape)
        # (batch, queries, heads, side)
        across = scales[..., :1] * (points[..., :1] - width).square()
        down = scales[..., 1:] * (points[..., 1:] - height).square()
        distance = (down[..., :, None] + across[..., None, :]).flatten(3)
        return -distance.transpose(1, 2) / self.smooth
