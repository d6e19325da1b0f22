"""The MetaFormer block (arXiv 2111.11418), from which families make theirs."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmplugin.layers import DropPath, GroupNorm1, LayerScale, Mlp
from mmplugin.ops.mlp_residual import mlp_residual, run_mlp_residual
from mmplugin.ops.paths import dispatched, fused_on


class MetaFormerBlock(nn.Module):
    """Two residual halves: ``x + s1 * mixer(norm1(x))``, then ``x + s2 * mlp(norm2(x))``.

    Args:
        dim: channels C.
        token_mixer: module (B, C, H, W) -> same shape, without norm, residual or drop path.
        norm_layer: called with ``dim``, twice.
        mlp_ratio: hidden channels of the MLP over ``dim``.
        drop_path: rate of this block. Default 0.
        layer_scale_init_value: start value of both layer scales; None for a block without them.
        fast: take fused forms of these operations where the machine has them.
    """

    def __init__(
        self,
        dim: int,
        token_mixer: nn.Module,
        norm_layer: Callable[[int], nn.Module],
        mlp_ratio: float,
        drop_path: float,
        layer_scale_init_value: float | None,
        fast: bool,
    ) -> None:
        super().__init__()
        scale = nn.Identity if layer_scale_init_value is None else LayerScale
        self.norm1 = norm_layer(dim)
        self.token_mixer = token_mixer
        self.layer_scale1 = scale(dim, layer_scale_init_value)
        self.norm2 = norm_layer(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.layer_scale2 = scale(dim, layer_scale_init_value)
        self.drop_path = DropPath(drop_path)
        self.fast = fast
        self.training_form: tuple[MetaFormerBlock, ...] = ()

    def mix_tokens(self, x: Tensor) -> Tensor:
        """The token half with its residual."""
        return x + self.drop_path(self.layer_scale1(self.token_mixer(self.norm1(x))))

    def mix_channels(self, x: Tensor) -> Tensor:
        """The channel half with its residual."""
        if self.fast and self.training_form and not torch.is_grad_enabled():
            plain_norm = isinstance(self.norm2, GroupNorm1) and not self.norm2.affine
            if fused_on(x) and (plain_norm or isinstance(self.norm2, nn.Identity)):
                eps = self.norm2.eps if plain_norm else None
                fused = mlp_residual, run_mlp_residual
                return dispatched(*fused, x, *self.mlp.matrices(), eps)
        return x + self.drop_path(self.layer_scale2(self.mlp(self.norm2(x))))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.mix_channels(self.mix_tokens(x))

    def deploy(self) -> None:
        """Rewrite in place for inference: fewer layers, the same result."""
        # in a tuple, so that it is no part of the network
        self.training_form = (copy.deepcopy(self).to('meta'),)
        self.rewrite()

    def rewrite(self) -> None:
        """What a family's ``deploy()`` does to a block."""
        raise NotImplementedError(f'{type(self).__name__} has no inference form')

    def expect(self, state_dict: dict, prefix: str) -> None:
        """Prepare the deploy form for a state dict of it; for families where its layers differ."""

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """In the deploy form, take the tensors of the training form too."""
        for form in self.training_form:
            names = form.state_dict().keys()
            if all(prefix + name in state_dict for name in names):
                block = copy.deepcopy(form).to_empty(device='cpu')
                block.load_state_dict({name: state_dict.pop(prefix + name) for name in names})
                block.deploy()
                state_dict.update({prefix + k: v for k, v in block.state_dict().items()})
            self.expect(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
