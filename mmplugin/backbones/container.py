"""Container (Container: Context Aggregation Network, NeurIPS 2021)."""

from collections.abc import Sequence

import torch
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmplugin.arguments import resolve_arch
from mmplugin.backbones.container_block import ContainerBlock
from mmplugin.layers import PatchEmbed
from mmplugin.metaformer import MetaFormer
from mmplugin.mixers.choices import build_mixer, check_choices, resolve_windows
from mmplugin.registry import MODELS
from mmplugin.weights.container import LAYOUTS

STRIDES = (4, 8, 16, 32)
SIZE = dict(depths=(3, 4, 8, 3), embed_dims=(64, 128, 320, 512))
PAPER = dict(SIZE, mlp_ratios=(4, 4, 4, 4))
# `light` is the released network. The released code has nothing of the other forms: their head
# numbers, and where tables stand (grids up to 14x14 at 224), are our choice.
VARIANTS = {
    'light': dict(SIZE, mlp_ratios=(8, 8, 4, 4)),
    'light-paper': PAPER,
    'full': dict(PAPER, dynamic=(True, True, True, True)),
    'pam': dict(
        PAPER, dynamic=(False, False, True, True), static=('conv', 'conv', 'table', 'table')
    ),
    'mh-mlp': dict(
        PAPER, dynamic=(False, False, False, False), static=('conv', 'conv', 'table', 'table')
    ),
    'dw': dict(PAPER, dynamic=(False, False, False, False)),
}
DEFAULTS = dict(
    mlp_ratios=(8, 8, 4, 4),
    num_heads=(2, 4, 10, 16),
    dynamic=(False, False, False, True),
    static=('conv', 'conv', 'conv', 'conv'),
    kernel_size=5,
    img_size=224,
)


@MODELS.register_module()
class Container(MetaFormer):
    """Container backbone for detection and segmentation.

    ``arch='light'`` equals the released network (``container_v1_light``) where 32 divides both
    sides of the image. Elsewhere the released code crops; here each patch embedding pads with
    zeros to the right and below, so output i has ``ceil(H / 4)`` rows, halved and rounded up i
    times.

    Cost: the dynamic part takes 2 N^2 C multiply-accumulates over N tokens, and no N x N matrix is
    kept. In stage 4 that is little (1,000 tokens at 800x1280). ``'full'`` attends to 64,000 tokens
    in stage 1 there: 1,994 G multiply-accumulates for the backbone, 91 G with ``window_size=14``,
    which detection needs (``'light'``: 81 G).

    Under ``torch.compile`` one graph serves all images whose sides are multiples of 32, as the
    padding in the configs makes them; other sizes are compiled for the way they are padded.

    For optimizers: the parameters of gates have ``.gate.`` in their names, tables end in
    ``.table``; neither should decay.

    Args:
        arch: ``'light'``, the released network; ``'light-paper'``, the same with MLP ratios
            4/4/4/4, the size of the paper's tables; ``'full'``, attention and depthwise affinity
            in every stage; ``'pam'``, attention and token tables in stages 3 and 4, depthwise
            before; ``'mh-mlp'``, token tables alone in stages 3 and 4; ``'dw'``, depthwise alone.
            Or a dict with ``depths`` and ``embed_dims`` (four numbers each) and optionally, one
            value a stage: ``mlp_ratios`` (default 8/8/4/4), ``num_heads`` (2/4/10/16; used by
            attention and tables), ``dynamic`` (attention or not; False/False/False/True) and
            ``static`` (``'conv'``, ``'table'`` or None; ``'conv'``); and ``kernel_size`` of the
            depthwise affinity (5) and ``img_size`` of pretraining in pixels, from which tables
            have their grid (224).
        in_channels: channels of the image. Default 3.
        out_indices: stages to return, negatives allowed, order kept. Default (0, 1, 2, 3).
        frozen_stages: -1 nothing, 0 the stem, k the stem and the first k stages; never the final
            norm. Default -1.
        norm_cfg: of the norms in blocks and of the final norm on stage 4. Default
            ``dict(type='BN')``, which the released weights need.
        norm_eval: keep these batch norms in eval mode while training. Default False; the paper's
            detection runs from pretrained weights freeze them.
        norm_frozen: no gradient for the weight and bias of these norms. Default False; as above.
        out_norm_cfg: norm of the outputs of stages 1 to 3. Default None: as released, only stage 4
            is normed, always by its final norm.
        gate: of attention against the static part: ``'convex'`` (one scalar, as released; the
            default where both parts stand) or ``'free'`` (two scalars, as in the paper).
        window_size: side in tokens of attention windows in stages 1 to 3, or four values, None for
            attention to the whole map. Default None.
        table_mode: what token tables do on maps of another size than their grid: ``'tile'`` (the
            default where there are tables), ``'resample'`` or ``'fixed'``, which refuses.
        drop_path_rate: of the last block; rises linearly from 0 over all blocks. Default 0.
        with_cp: recompute blocks in the backward pass to save memory. Default False.
        fast: channels_last maps on CPUs, and there in the deploy form, with BatchNorm, in float32
            or float64, fused MLPs; the same results but for rounding. False: every layer as
            written. Default True. There are no Triton kernels for this family.
        strict_load: whether a pretrained file must fit exactly but for the expected gaps
            (classifier head, output norms of stages 1 to 3). Default True.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE_OR_URL_OR_NAME)`` reads the released and
            our own layout; a name is one of the table in ``mmplugin.weights.zoo``, as in
            ``'mmplugin://container-light_in1k'``. Default None: weights as the released code
            starts them.

    Raises:
        ValueError: for an unknown arch, wrong arguments or arguments without a use in this arch,
            an empty image, or a checkpoint that does not fit.
    """

    def __init__(
        self,
        arch: str | dict = 'light',
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (read only)
        norm_eval: bool = False,
        norm_frozen: bool = False,
        out_norm_cfg: dict | None = None,
        gate: str | None = None,
        window_size: int | Sequence[int | None] | None = None,
        table_mode: str | None = None,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        fast: bool = True,
        strict_load: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        settings = resolve_arch('Container', arch, VARIANTS, DEFAULTS)
        dims = settings['embed_dims']
        norm_cfg = dict(norm_cfg, requires_grad=False) if norm_frozen else norm_cfg
        check_choices(settings, gate, table_mode)
        windows = resolve_windows(window_size, settings['dynamic'])

        def build_norm(dim: int) -> nn.Module:
            return build_norm_layer(norm_cfg, dim)[1]

        def build_block(stage: int, drop_path: float) -> ContainerBlock:
            grid = -(-settings['img_size'] // STRIDES[stage])
            mixer = build_mixer(stage, settings, grid, gate, windows[stage], table_mode)
            ratio = settings['mlp_ratios'][stage]
            return ContainerBlock(dims[stage], mixer, build_norm, ratio, drop_path, fast)

        def build_out_norm(stage: int, dim: int) -> nn.Module:
            if stage == 3:
                return build_norm(dim)
            return nn.Identity() if out_norm_cfg is None else build_norm_layer(out_norm_cfg, dim)[1]

        super().__init__(
            depths=settings['depths'],
            embed_dims=dims,
            strides=STRIDES,
            min_size=1,
            in_channels=in_channels,
            build_embed=lambda stage, in_dim, dim: PatchEmbed(
                in_dim, dim, stride=2 if stage else 4
            ),
            build_block=build_block,
            build_norm=build_out_norm,
            layouts=LAYOUTS,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            drop_path_rate=drop_path_rate,
            with_cp=with_cp,
            fast=fast,
            strict_load=strict_load,
            init_cfg=init_cfg,
        )
        self.norm_eval = norm_eval
        self.train()

    def path_of(self, x: Tensor) -> str:
        """As of the shell; only the deploy form has fused operations, for inference."""
        path = super().path_of(x)
        fuses = self.deployed and not torch.is_grad_enabled()
        return 'unfused' if path == 'fused' and not fuses else path

    def train(self, mode: bool = True) -> 'Container':
        """Set the mode; frozen parts stay in eval mode, with ``norm_eval`` batch norms too.

        Raises:
            RuntimeError: when the deploy form is to be trained.
        """
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
