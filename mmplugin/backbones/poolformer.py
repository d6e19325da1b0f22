"""PoolFormer (MetaFormer Is Actually What You Need for Vision, CVPR 2022, arXiv 2111.11418)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmplugin.arguments import resolve_arch
from mmplugin.block import MetaFormerBlock
from mmplugin.layers import ConvEmbed, GroupNorm1
from mmplugin.metaformer import MetaFormer
from mmplugin.mixers.pooling import Pooling
from mmplugin.ops.fold import exact, fold_affine, fold_scale
from mmplugin.ops.mlp_residual import (
    CHEAP_CHANNELS,
    norm_mlp_residual,
    run_norm_mlp_residual,
)
from mmplugin.ops.norm_linear_triton import run_triton_norm_linear, triton_norm_linear
from mmplugin.ops.paths import dispatched, path_of
from mmplugin.ops.pool_residual import (
    fused_norm_pool_residual,
    norm_pool_residual,
    run_norm_pool_residual,
)
from mmplugin.ops.pool_triton import run_triton_norm_pool_residual, triton_norm_pool_residual
from mmplugin.registry import MODELS
from mmplugin.weights.poolformer import LAYOUTS

# paper Tab. 1 and official models/poolformer.py; layer scale is 1e-6 from s36 on, not from m36
VARIANTS = {
    's12': dict(depths=(2, 2, 6, 2), embed_dims=(64, 128, 320, 512)),
    's24': dict(depths=(4, 4, 12, 4), embed_dims=(64, 128, 320, 512)),
    's36': dict(depths=(6, 6, 18, 6), embed_dims=(64, 128, 320, 512), layer_scale_init_value=1e-6),
    'm36': dict(depths=(6, 6, 18, 6), embed_dims=(96, 192, 384, 768), layer_scale_init_value=1e-6),
    'm48': dict(depths=(8, 8, 24, 8), embed_dims=(96, 192, 384, 768), layer_scale_init_value=1e-6),
}
DEFAULTS = dict(mlp_ratios=(4, 4, 4, 4), layer_scale_init_value=1e-5, pool_size=3)


class PoolFormerBlock(MetaFormerBlock):
    """MetaFormer block whose token half is one interpolation, exact forward and backward.

    ``norm1.bias`` cancels in it: it keeps its place in the state dict and takes no gradient.
    """

    def __init__(
        self,
        dim: int,
        mlp_ratio: float,
        drop_path: float,
        layer_scale_init_value: float,
        pool_size: int,
        fast: bool | str,
    ) -> None:
        super().__init__(
            dim,
            Pooling(dim, pool_size),
            GroupNorm1,
            mlp_ratio,
            drop_path,
            layer_scale_init_value,
            fast,
        )
        self.norm1.bias.requires_grad_(False)

    def mix_tokens(self, x: Tensor) -> Tensor:
        if not self.fast:
            return super().mix_tokens(x)
        gain = self.layer_scale1.scale
        if self.norm1.affine:
            gain = gain * self.norm1.weight
        gain = self.scaled(gain, x)
        settings = self.token_mixer.pool_size, self.norm1.eps
        path = path_of(self.fast, x, gain)
        if path == 'triton':
            fused = triton_norm_pool_residual, run_triton_norm_pool_residual
            return dispatched(*fused, x, gain, *settings)[0]
        if path == 'fused':
            fused = fused_norm_pool_residual, run_norm_pool_residual
            return dispatched(*fused, x, gain, *settings)
        return norm_pool_residual(x, gain[:, :, None, None], *settings)

    def mix_channels(self, x: Tensor) -> Tensor:
        norm = self.norm2
        path = path_of(self.fast, x, *norm.parameters())
        if path == 'triton' and x.dtype != torch.float64:
            hidden = self.triton_hidden(x)
            return x + self.drop_path(self.layer_scale2(self.mlp.fc2(hidden)))
        if path != 'fused' or not norm.affine:
            return super().mix_channels(x)
        scale = self.scaled(self.layer_scale2.scale, x)
        keep_hidden = torch.is_grad_enabled() and x.shape[1] > CHEAP_CHANNELS
        weights = norm.weight, norm.bias, *self.mlp.matrices(), scale
        fused = norm_mlp_residual, run_norm_mlp_residual
        return dispatched(*fused, x, *weights, norm.eps, keep_hidden)[0]

    def triton_hidden(self, x: Tensor) -> Tensor:
        """``gelu(fc1(norm2(x)))``: (B, C, H, W) to (B, D, H, W), channels_last."""
        norm, fc1 = self.norm2, self.mlp.fc1
        dim, device = x.shape[1], x.device.type
        affine = (norm.weight, norm.bias) if norm.affine else (x.new_ones(dim), x.new_zeros(dim))
        weights = fc1.weight.flatten(1), fc1.bias
        if torch.is_autocast_enabled(device):  # which does not reach into operations of ours
            weights = (t.to(torch.get_autocast_dtype(device)) for t in weights)
        gelu = dim <= CHEAP_CHANNELS or not torch.is_grad_enabled()
        fused = triton_norm_linear, run_triton_norm_linear
        hidden, _ = dispatched(*fused, x, *affine, *weights, norm.eps, gelu)
        return hidden if gelu else self.mlp.act(hidden)

    def rewrite(self) -> None:
        """Fold the affine pairs of both norms and the second layer scale into their neighbours."""
        with torch.no_grad():
            gain = exact(self.layer_scale1.scale) * exact(self.norm1.weight)
            self.layer_scale1.scale.copy_(gain)
        fold_affine(self.norm2.weight, self.norm2.bias, self.mlp.fc1)
        fold_scale(self.mlp.fc2, self.layer_scale2.scale)
        dim = len(gain)
        self.norm1, self.norm2 = GroupNorm1(dim, affine=False), GroupNorm1(dim, affine=False)
        self.layer_scale2 = nn.Identity()
        self.eval()

    def scaled(self, factors: Tensor, x: Tensor) -> Tensor:
        """Factors (C,) of a branch, with drop path: (1, C), or (B, C) where samples differ."""
        multiplier = self.drop_path.multiplier(x.shape[0], like=factors)
        return factors[None] if multiplier is None else factors * multiplier.flatten(1)


@MODELS.register_module()
class PoolFormer(MetaFormer):
    """PoolFormer backbone for detection and segmentation.

    Equal to the official dense form (``models/poolformer.py`` with ``fork_feat=True``): a norm on
    each output, the un-normed map to the next stage. Output i of an H x W image has
    ``floor((H + 1) / 4)`` rows, halved and rounded up i times.

    Args:
        arch: ``'s12'``, ``'s24'``, ``'s36'``, ``'m36'``, ``'m48'``, or a dict with ``depths`` and
            ``embed_dims`` (four numbers each) and optionally ``mlp_ratios`` (default 4 a stage),
            ``layer_scale_init_value`` (1e-5) and ``pool_size`` (3).
        in_channels: channels of the image. Default 3.
        out_indices: stages to return, negatives allowed, order kept. Default (0, 1, 2, 3).
        frozen_stages: -1 nothing, 0 the stem, k the stem and the first k stages. Default -1.
        drop_path_rate: of the last block; rises linearly from 0 over all blocks. Default 0, as in
            the official detection and segmentation runs.
        with_cp: recompute blocks in the backward pass to save memory. Default False.
        fast: on CPUs channels_last maps and, for large ones in float32 or float64 without autocast,
            fused operations; on other devices the token half as one interpolation. The same results
            but for rounding. Hooks on layers inside a fused block are not called. ``'triton'``: the
            same, and on a CUDA device the token halves, and the norm with the first layer of the
            channel halves (not in float64), are Triton kernels on channels_last maps, which have
            **not run on a GPU yet**: compare them there with True before trusting them.
            False: every layer as written. Default True.
        strict_load: whether a pretrained file must fit exactly but for the expected gaps
            (classifier head, output norms). Default True.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE_OR_URL_OR_NAME)`` reads official, timm,
            mmpretrain, transformers and own layouts; a name is one of the table in
            ``mmplugin.weights.zoo``, as in ``'mmplugin://poolformer-s12_in1k'``. Default None:
            weights as the official code starts them.

    Raises:
        ValueError: for an unknown arch or wrong arguments, an image under 3x3 pixels, or a
            checkpoint that does not fit.
        RuntimeError: for ``fast='triton'`` on a CUDA device without Triton, at the first image.
    """

    fast_choices = (True, False, 'triton')

    def __init__(
        self,
        arch: str | dict = 's12',
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        fast: bool | str = True,
        strict_load: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        settings = resolve_arch('PoolFormer', arch, VARIANTS, DEFAULTS)
        dims = settings['embed_dims']
        super().__init__(
            depths=settings['depths'],
            embed_dims=dims,
            strides=(4, 8, 16, 32),
            min_size=3,
            in_channels=in_channels,
            build_embed=lambda stage, in_dim, dim: build_embed(stage, in_dim, dim, bool(fast)),
            build_block=lambda stage, drop_path: PoolFormerBlock(
                dims[stage],
                settings['mlp_ratios'][stage],
                drop_path,
                settings['layer_scale_init_value'],
                settings['pool_size'],
                fast,
            ),
            build_norm=lambda stage, dim: GroupNorm1(dim),
            layouts=LAYOUTS,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            drop_path_rate=drop_path_rate,
            with_cp=with_cp,
            fast=fast,
            strict_load=strict_load,
            init_cfg=init_cfg,
        )


def build_embed(stage: int, in_dim: int, dim: int, fast: bool) -> ConvEmbed:
    """7x7 stride 4 with padding 2 for the stem, 3x3 stride 2 between stages."""
    if stage == 0:
        return ConvEmbed(in_dim, dim, kernel_size=7, stride=4, padding=2)
    return ConvEmbed(in_dim, dim, kernel_size=3, stride=2, padding=1, fast=fast)
