"""The block of Container, and its rewriting for inference."""

import copy
from collections.abc import Callable

from torch import Tensor, nn

from mmplugin.block import MetaFormerBlock
from mmplugin.mixers.context_aggregation import ContextAggregation
from mmplugin.ops.fold import fold_norm, is_foldable, with_identity


class ResidualDepthwise(nn.Conv2d):
    """``x + dwconv3x3(x)``: conditional position encoding.

    Args:
        dim: channels C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + super().forward(x)


class ContainerBlock(MetaFormerBlock):
    """Position encoding before a MetaFormer block without layer scale.

    Args:
        dim: channels C.
        token_mixer: (B, C, H, W) -> same shape.
        norm_layer: called with ``dim``, twice.
        mlp_ratio: hidden channels of the MLP over ``dim``.
        drop_path: rate of this block.
        fast: take fused forms of these operations where the machine has them.
    """

    def __init__(
        self,
        dim: int,
        token_mixer: ContextAggregation,
        norm_layer: Callable[[int], nn.Module],
        mlp_ratio: float,
        drop_path: float,
        fast: bool,
    ) -> None:
        super().__init__(dim, token_mixer, norm_layer, mlp_ratio, drop_path, None, fast)
        self.position = ResidualDepthwise(dim)
        for conv in (self.mlp.fc1, self.mlp.fc2):  # the released code initialises no convolution
            conv.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return super().forward(self.position(x))

    def rewrite(self) -> None:
        """Fold position encoding, gate, static bias and batch norms into their neighbours."""
        self.position = with_identity(self.position)
        self.token_mixer.deploy()
        if is_foldable(self.norm1):
            fold_norm(self.norm1, self.token_mixer.in_proj)
            self.norm1 = nn.Identity()
        if is_foldable(self.norm2):
            fold_norm(self.norm2, self.mlp.fc1)
            self.norm2 = nn.Identity()

    def expect(self, state_dict: dict, prefix: str) -> None:
        """Whether a gate could be absorbed depends on the values that come in."""
        mixer = f'{prefix}token_mixer.'
        if f'{mixer}out_proj.weight' in state_dict:
            gated = any(key.startswith(f'{mixer}gate.') for key in state_dict)
            gate = copy.deepcopy(self.training_form[0].token_mixer.gate) if gated else None
            self.token_mixer.gate = gate and gate.to_empty(device=self.position.weight.device)
