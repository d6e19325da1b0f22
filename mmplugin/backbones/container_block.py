"""The block of Container, and its rewriting for inference."""

import copy
from collections.abc import Callable

from torch import Tensor, nn

from mmplugin.metaformer import MetaFormerBlock
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
    """

    def __init__(
        self,
        dim: int,
        token_mixer: ContextAggregation,
        norm_layer: Callable[[int], nn.Module],
        mlp_ratio: float,
        drop_path: float,
    ) -> None:
        super().__init__(
            dim, token_mixer, norm_layer, mlp_ratio, drop_path, layer_scale_init_value=None
        )
        self.position = ResidualDepthwise(dim)
        self.training_form: tuple[ContainerBlock, ...] = ()
        for conv in (self.mlp.fc1, self.mlp.fc2):  # the released code initialises no convolution
            conv.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return super().forward(self.position(x))

    def deploy(self) -> None:
        """Rewrite in place for inference: fewer layers, the same result."""
        # in a tuple, so that it is no part of the network
        self.training_form = (copy.deepcopy(self).to('meta'),)
        self.position = with_identity(self.position)
        self.token_mixer.deploy()
        if is_foldable(self.norm1):
            fold_norm(self.norm1, self.token_mixer.in_proj)
            self.norm1 = nn.Identity()
        if is_foldable(self.norm2):
            fold_norm(self.norm2, self.mlp.fc1)
            self.norm2 = nn.Identity()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """In the deploy form, take the tensors of the training form too."""
        for form in self.training_form:
            names = form.state_dict().keys()
            if all(prefix + name in state_dict for name in names):
                block = copy.deepcopy(form).to_empty(device='cpu')
                block.load_state_dict({name: state_dict.pop(prefix + name) for name in names})
                block.deploy()
                state_dict.update({prefix + k: v for k, v in block.state_dict().items()})
            # whether a gate could be absorbed depends on the values that come in
            mixer = f'{prefix}token_mixer.'
            if f'{mixer}out_proj.weight' in state_dict:
                gated = any(key.startswith(f'{mixer}gate.') for key in state_dict)
                gate = copy.deepcopy(form.token_mixer.gate) if gated else None
                self.token_mixer.gate = gate and gate.to_empty(device=self.position.weight.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
