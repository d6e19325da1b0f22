"""Gates: the learned weights of the dynamic and the static part."""

import torch
from torch import Tensor, nn


class ConvexGate(nn.Module):
    """``alpha = sigmoid(logit)``, ``beta = 1 - alpha``: one scalar, as in the released code.

    The logit (``sa_weight`` there) starts at 0, so both parts at one half.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(1))

    def factors(self) -> tuple[Tensor, Tensor]:
        """(alpha, beta), each (1,)."""
        alpha = self.logit.sigmoid()
        return alpha, 1 - alpha

    def forward(self, dynamic: Tensor, static: Tensor) -> Tensor:
        """Two tensors of one shape to their mix."""
        alpha, beta = self.factors()
        return alpha * dynamic + beta * static


class FreeGate(nn.Module):
    """Two unbound scalars, as the paper writes them.

    Both start at one half, like the released gate; the paper's start values are not known.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), 0.5))
        self.beta = nn.Parameter(torch.full((1,), 0.5))

    def factors(self) -> tuple[Tensor, Tensor]:
        """(alpha, beta), each (1,)."""
        return self.alpha, self.beta

    def forward(self, dynamic: Tensor, static: Tensor) -> Tensor:
        """Two tensors of one shape to their mix."""
        return self.alpha * dynamic + self.beta * static


GATES = {'convex': ConvexGate, 'free': FreeGate}
