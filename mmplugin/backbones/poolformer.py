"""PoolFormer (MetaFormer Is Actually What You Need for Vision, CVPR 2022, arXiv 2111.11418)."""

from collections.abc import Sequence

from torch import Tensor

from mmplugin.arguments import resolve_arch
from mmplugin.layers import ConvEmbed, GroupNorm1
from mmplugin.metaformer import MetaFormer, MetaFormerBlock
from mmplugin.mixers.pooling import Pooling
from mmplugin.ops.pool_residual import norm_pool_residual
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
    ) -> None:
        super().__init__(
            dim, Pooling(dim, pool_size), GroupNorm1, mlp_ratio, drop_path, layer_scale_init_value
        )
        self.norm1.bias.requires_grad_(False)

    def mix_tokens(self, x: Tensor) -> Tensor:
        gain = (self.layer_scale1.scale * self.norm1.weight).view(1, -1, 1, 1)
        multiplier = self.drop_path.multiplier(x.shape[0], like=gain)
        if multiplier is not None:
            gain = gain * multiplier
        return norm_pool_residual(x, gain, self.token_mixer.pool_size, self.norm1.eps)


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
        strict_load: whether a pretrained file must fit exactly but for the expected gaps
            (classifier head, output norms). Default True.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE_OR_URL_OR_NAME)`` reads official, timm,
            mmpretrain, transformers and own layouts; a name is one of the table in
            ``mmplugin.weights.zoo``, as in ``'mmplugin://poolformer-s12_in1k'``. Default None:
            weights as the official code starts them.

    Raises:
        ValueError: for an unknown arch or wrong arguments, an image under 3x3 pixels, or a
            checkpoint that does not fit.
    """

    def __init__(
        self,
        arch: str | dict = 's12',
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
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
            build_embed=build_embed,
            build_block=lambda stage, drop_path: PoolFormerBlock(
                dims[stage],
                settings['mlp_ratios'][stage],
                drop_path,
                settings['layer_scale_init_value'],
                settings['pool_size'],
            ),
            build_norm=lambda stage, dim: GroupNorm1(dim),
            layouts=LAYOUTS,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            drop_path_rate=drop_path_rate,
            with_cp=with_cp,
            strict_load=strict_load,
            init_cfg=init_cfg,
        )


def build_embed(stage: int, in_dim: int, dim: int) -> ConvEmbed:
    """7x7 stride 4 with padding 2 for the stem, 3x3 stride 2 between stages."""
    if stage == 0:
        return ConvEmbed(in_dim, dim, kernel_size=7, stride=4, padding=2)
    return ConvEmbed(in_dim, dim, kernel_size=3, stride=2, padding=1)
