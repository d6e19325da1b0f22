"""The MetaFormer shell (arXiv 2111.11418): four stages of blocks, each a token mixer and an MLP.

The shell knows no family: a family hands it functions that build its embeddings, blocks and output
norms, and the shell does what all of them share: stages, drop-path schedule, outputs, freezing,
checkpointing, depth of each parameter, pretrained weights.
"""

from collections.abc import Callable, Sequence

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from mmplugin.arguments import check_fast, resolve_out_indices
from mmplugin.ops.layouts import channels_last_inside, contiguous
from mmplugin.ops.paths import path_of
from mmplugin.ops.recompute import recomputed
from mmplugin.weights.loading import Layout, load_pretrained


class Stage(nn.Module):
    """A downsampling (identity in the first stage) and its blocks."""

    def __init__(self, downsample: nn.Module, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, with_cp: bool) -> Tensor:
        x = self.downsample(x)
        for block in self.blocks:
            x = recomputed(block, x) if with_cp else block(x)
        return x


class MetaFormer(BaseModule):
    """Backbone shell with multi-scale outputs.

    Stages past the last requested one are not built, and output norms only for requested stages,
    so that no parameter is ever without a gradient in distributed training.

    Args:
        depths: blocks of each of the four stages.
        embed_dims: channels of each stage.
        strides: of each stage's output over the input image.
        min_size: smallest image side, in pixels, that gives one output cell.
        in_channels: channels of the image.
        build_embed: (stage, channels in, channels out) -> the module that opens the stage.
        build_block: (stage, drop-path rate) -> a block of that stage.
        build_norm: (stage, channels) -> a norm applied to that output only, or an identity.
        layouts: published checkpoint layouts this family can read.
        out_indices: stages to return, negatives allowed, order kept.
        frozen_stages: -1 nothing, 0 the stem, k the stem and the first k stages. Frozen parts get
            no gradient and stay in eval mode. Output norms are never frozen: no pretrained file
            holds them.
        drop_path_rate: of the last of all blocks of the architecture; rises linearly from 0.
        with_cp: recompute each block in the backward pass instead of storing its activations.
        fast: take the fused forms of operations, and the memory layout, that the machine is best
            at; False runs every layer as written, in the layout of the image. The only switch.
            A family may have more choices, listed in its ``fast_choices``.
        strict_load: whether tensors of a pretrained file that are missing, unexpected or of
            another shape are an error (True) or a warning (False).
        init_cfg: mmengine init config; ``dict(type='Pretrained', checkpoint=...)`` recognises the
            published layouts.

    Raises:
        ValueError: for wrong arguments, an image that is too small or has other channels, or a
            checkpoint that does not fit.
    """

    fast_choices: tuple[bool | str, ...] = (True, False)

    def __init__(
        self,
        *,
        depths: Sequence[int],
        embed_dims: Sequence[int],
        strides: Sequence[int],
        min_size: int,
        in_channels: int,
        build_embed: Callable[[int, int, int], nn.Module],
        build_block: Callable[[int, float], nn.Module],
        build_norm: Callable[[int, int], nn.Module],
        layouts: Sequence[Layout],
        out_indices: Sequence[int],
        frozen_stages: int,
        drop_path_rate: float,
        with_cp: bool,
        fast: bool | str,
        strict_load: bool,
        init_cfg: dict | list | None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.out_indices = resolve_out_indices(out_indices)
        self.depths = tuple(depths[: max(self.out_indices) + 1])
        self.out_channels = tuple(embed_dims[i] for i in self.out_indices)
        self.out_strides = tuple(strides[i] for i in self.out_indices)
        if frozen_stages not in range(-1, len(self.depths) + 1):
            raise ValueError(
                f'frozen_stages must be -1 (nothing), 0 (stem) or up to {len(self.depths)} '
                f'(stem and the first k of the stages built), got {frozen_stages!r}'
            )
        if not isinstance(drop_path_rate, (int, float)) or not 0 <= drop_path_rate < 1:
            raise ValueError(f'drop_path_rate must be in [0, 1), got {drop_path_rate!r}')
        check_fast(type(self).__name__, fast, self.fast_choices)
        self.frozen_stages = frozen_stages
        self.with_cp = with_cp
        self.fast = fast
        self.deployed = False
        self._said_path = False
        self.strict_load = strict_load
        self.in_channels = in_channels
        self.min_size = min_size
        self.layouts = tuple(layouts)

        self.stem = build_embed(0, in_channels, embed_dims[0])
        last = max(sum(depths) - 1, 1)
        self.stages = nn.ModuleList()
        for i, depth in enumerate(self.depths):
            start = sum(depths[:i])
            rates = [drop_path_rate * k / last for k in range(start, start + depth)]
            self.stages.append(
                Stage(
                    build_embed(i, embed_dims[i - 1], embed_dims[i]) if i else nn.Identity(),
                    [build_block(i, rate) for rate in rates],
                )
            )
        self.norms = nn.ModuleDict({str(i): build_norm(i, embed_dims[i]) for i in self.out_indices})
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, in_channels, H, W) to one (B, C_i, H_i, W_i) for each of ``out_indices``.

        With ``fast`` on a CPU, or ``'triton'`` on a GPU, maps are channels_last inside, and at
        inference come out so; where gradients are recorded they come out in the layout of the
        image.
        """
        self._check_image(x)
        restores = False
        if channels_last_inside(self.fast, x):
            # the backward passes of necks and heads, of 3x3 convolutions, are slower in this layout
            restores = torch.is_grad_enabled() and x.is_contiguous()
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        if not torch.compiler.is_compiling():
            self._say_path(x)
        outputs = {}
        for i, stage in enumerate(self.stages):
            x = stage(x, with_cp=self.with_cp and stage.training)
            if i in self.out_indices:
                outputs[i] = self.norms[str(i)](x)
        maps = tuple(outputs[i] for i in self.out_indices)
        return tuple(map(contiguous, maps)) if restores else maps

    def train(self, mode: bool = True) -> 'MetaFormer':
        """Set the mode; frozen parts stay in eval mode.

        Raises:
            RuntimeError: when the deploy form is to be trained.
        """
        if mode and self.deployed:
            raise RuntimeError(
                f'{type(self).__name__}: the deploy form cannot be trained; build the backbone '
                'anew and load the training checkpoint'
            )
        super().train(mode)
        self._freeze()
        return self

    def deploy(self) -> 'MetaFormer':
        """Rewrite every block in place for inference and return self; a second call does nothing.

        Exact but for rounding, at every size and on every pixel. A state dict of the training form
        can still be loaded; one saved from the deploy form is for the deploy form alone.

        Raises:
            RuntimeError: in training mode.
        """
        if self.training:
            name = type(self).__name__
            raise RuntimeError(f'{name}: call eval() before deploy(); it is for inference only')
        if not self.deployed:
            for stage in self.stages:
                for block in stage.blocks:
                    block.deploy()
            self.deployed = True
        return self

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says; a pretrained file is read after everything else."""
        if self.is_init:
            return super().init_weights()
        init_cfg = self.init_cfg
        cfgs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
        pretrained = [cfg for cfg in cfgs if is_pretrained(cfg)]
        self.init_cfg = [cfg for cfg in cfgs if cfg not in pretrained]
        super().init_weights()
        self.init_cfg = init_cfg
        for cfg in pretrained:
            report = load_pretrained(
                self, cfg['checkpoint'], self.layouts, cfg.get('prefix'), self.strict_load
            )
            if hasattr(self, '_params_init_info'):
                update_init_info(self, init_info=f'PretrainedInit: {report.summary}')

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning-rate decay.

        Args:
            param_name: full name of the parameter.
            prefix: name of the backbone inside the model with its dot, e.g. ``'backbone.'``.

        Returns:
            ``(depth, num_layers)``: 0 for the stem, k for the k-th block (a downsampling counts to
            the block behind it), ``num_layers - 1`` for output norms and anything outside.
        """
        num_layers = sum(self.depths) + 2
        parts = param_name.removeprefix(prefix).split('.')
        if not param_name.startswith(prefix) or parts[0] not in ('stem', 'stages'):
            return num_layers - 1, num_layers
        if parts[0] == 'stem':
            return 0, num_layers
        block = int(parts[3]) if parts[2] == 'blocks' else 0
        return sum(self.depths[: int(parts[1])]) + block + 1, num_layers

    def path_of(self, x: Tensor) -> str:
        """The form of operations that blocks take for a map x, by the names of ``ops.paths``."""
        return path_of(self.fast, x)

    def _say_path(self, x: Tensor) -> None:
        """Log, once, which form of the operations this backbone runs."""
        if not self._said_path:
            self._said_path = True
            path = self.path_of(x)
            form = 'Triton and unfused' if path == 'triton' else path
            layout = ', channels_last' if channels_last_inside(self.fast, x) else ''
            print_log(
                f'{type(self).__name__}: {form}{layout} operations ({x.device.type}, {x.dtype})',
                logger='current',
            )

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        for module in (self.stem, *self.stages[: self.frozen_stages]):
            module.eval()
            module.requires_grad_(False)

    def _check_image(self, x: Tensor) -> None:
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f'{type(self).__name__} takes images (B, {self.in_channels}, H, W), '
                f'got {tuple(x.shape)}'
            )
        if min(x.shape[2:]) < self.min_size:
            raise ValueError(
                f'{type(self).__name__}: an image of {x.shape[2]}x{x.shape[3]} pixels is smaller '
                f'than one output cell; the smallest is {self.min_size}x{self.min_size}. '
                'Check the resize and crop steps of the pipeline.'
            )


def is_pretrained(cfg: dict) -> bool:
    """Whether an entry of ``init_cfg`` reads a file.

    Raises:
        ValueError: when it does and has no ``checkpoint``, or keys that would be ignored.
    """
    kind = cfg['type']
    if isinstance(kind, str):  # a name may carry its registry's scope
        kind = WEIGHT_INITIALIZERS.get(kind)
    if kind is not PretrainedInit:
        return False
    unknown = sorted(set(cfg) - {'type', 'checkpoint', 'prefix', 'map_location', '_scope_'})
    if unknown or not isinstance(cfg.get('checkpoint'), str):
        raise ValueError(
            f'init_cfg of type Pretrained takes checkpoint (a path or URL) and prefix, got {cfg}'
        )
    return True
