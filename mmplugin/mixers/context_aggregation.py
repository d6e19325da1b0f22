"""Context aggregation: attention, depthwise convolution and token MLP as one operator.

Container (NeurIPS 2021), section 3: ``Y = ((alpha A(X) + beta A) V) W + X``. With V a projection of
X, A(X) an affinity computed from X and A a learned one, the choice of the two parts gives

========================  =======================  ==============================
known as                  dynamic                  static
========================  =======================  ==============================
Transformer               ``SelfAffinity``         None
depthwise convolution     None                     ``DepthwiseAffinity(dim, k)``
MH-DW                     None                     ``DepthwiseAffinity(dim, k, M)``
MLP-Mixer (linear)        None                     ``TableAffinity(1, grid)``
MH-MLP                    None                     ``TableAffinity(M, grid)``
Container-PAM             ``SelfAffinity``         ``TableAffinity(M, grid)``
Container                 ``SelfAffinity``         ``DepthwiseAffinity(dim, k)``
========================  =======================  ==============================

The residual ``+ X`` belongs to the block around it.
"""

import torch
from torch import Tensor, nn

from mmplugin.layers import Pointwise
from mmplugin.ops.fold import exact, move_shift

SMALLEST_SHARE = 2**-6
"""Above this |alpha / beta| the deploy form absorbs a gate: under it the scaled values would be
too small, and the static kernel too large, for half precision."""


class ContextAggregation(nn.Module):
    """``((alpha A(X) + beta A) V) W`` on maps.

    Args:
        dim: channels C.
        dynamic: (query, key, value) -> mixed value, or None.
        static: value -> mixed value, or None. Both parts work on the same value.
        gate: (dynamic result, static result) -> their mix. None with a single part, which then
            counts whole; with two parts None means their sum.

    Raises:
        ValueError: where both parts are missing, or a gate has nothing to choose from.
    """

    def __init__(
        self,
        dim: int,
        dynamic: nn.Module | None,
        static: nn.Module | None,
        gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if dynamic is None and static is None:
            raise ValueError('context aggregation needs a dynamic part, a static part or both')
        if gate is not None and (dynamic is None or static is None):
            raise ValueError('a gate mixes two parts; leave it out where there is one')
        # one projection; output channels are query, key, value where there is attention
        self.in_proj = Pointwise(dim, dim if dynamic is None else 3 * dim)
        self.dynamic = dynamic
        self.static = static
        self.gate = gate
        self.out_proj = Pointwise(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        projected = self.in_proj(x)
        if self.dynamic is None:
            return self.out_proj(self.static(projected))
        query, key, value = projected.chunk(3, dim=1)
        mixed = self.dynamic(query, key, value)
        if self.static is not None:
            static = self.static(value)
            mixed = mixed + static if self.gate is None else self.gate(mixed, static)
        return self.out_proj(mixed)

    @torch.no_grad()
    def deploy(self) -> None:
        """Rewrite in place for inference, exactly; the result is the same on every pixel.

        The gate goes into the value rows of ``in_proj`` (alpha) and the static kernel
        (beta / alpha), unless alpha is too small beside beta; the static bias into ``out_proj``;
        the key's bias, to which the softmax is blind, to zero. The bias of ``in_proj`` stays where
        it is: the zeros past the border that a static convolution reads do not have it.
        """
        dim, beta = self.out_proj.in_channels, torch.ones(1)
        if self.gate is not None:
            alpha, beta = (exact(factor) for factor in self.gate.factors())
            if alpha.abs() > SMALLEST_SHARE * beta.abs():
                for rows in (self.in_proj.weight[2 * dim :], self.in_proj.bias[2 * dim :]):
                    rows.copy_(exact(rows) * alpha)
                kernel = self.static.kernel
                kernel.copy_(exact(kernel) * (beta / alpha))
                self.gate = None
        if self.static is not None and self.static.bias is not None:
            shift = exact(self.static.bias).repeat_interleave(dim // len(self.static.bias))
            move_shift(shift * beta, self.out_proj)
            self.static.bias = None
        if self.dynamic is not None:
            self.in_proj.bias[dim : 2 * dim].zero_()
