"""Testing the inference form of a network."""

from torch import nn

from mmplugin.cli.compiling import network_of
from mmplugin.cli.errors import UserError
from mmplugin.layers import GroupNorm1
from mmplugin.metaformer import MetaFormer
from mmplugin.ops.fold import fold_affine, fold_norm, is_foldable


def deploy_once_loaded(runner) -> None:
    """Let a runner rewrite its backbone for inference when it has loaded the checkpoint.

    Args:
        runner: mmengine Runner for testing; its ``load_or_resume`` is replaced.

    Raises:
        UserError: for a backbone without ``deploy()``.
    """
    model = network_of(runner)
    name = type(model.backbone).__name__
    if not hasattr(model.backbone, 'deploy'):
        raise UserError(f'--deploy: {name} has no inference form; test it without --deploy')
    stock = runner.load_or_resume

    def load_or_resume():
        stock()
        model.backbone.eval().deploy()
        if model.with_neck and isinstance(model.backbone, MetaFormer):
            fold_output_norms(model.backbone, model.neck)
        runner.logger.info(f'--deploy: testing the inference form of {name}')

    runner.load_or_resume = load_or_resume


def fold_output_norms(backbone: MetaFormer, neck: nn.Module) -> None:
    """Move output norms into the lateral convolutions of an FPN, which alone reads the outputs.

    A batch norm goes as a whole, of a group norm the affine pair. Exact in eval mode. An output
    that a padded convolution reads too (``add_extra_convs='on_input'``) keeps its norm: the zeros
    past the border do not have its shift. Any other neck stays as it is.

    Args:
        backbone: in eval mode; changed in place.
        neck: of the framework's, behind it; changed in place.
    """
    if type(neck).__name__ != 'FPN':
        return
    extra = len(neck.fpn_convs) > len(neck.lateral_convs) and neck.add_extra_convs == 'on_input'
    for i, lateral in enumerate(neck.lateral_convs, neck.start_level):
        conv, stage = lateral.conv, str(backbone.out_indices[i])
        norm = backbone.norms[stage]
        if conv.bias is None or (extra and i == neck.backbone_end_level - 1):
            continue
        if is_foldable(norm):
            fold_norm(norm, conv)
            backbone.norms[stage] = nn.Identity()
        elif isinstance(norm, GroupNorm1) and norm.affine:
            fold_affine(norm.weight, norm.bias, conv)
            backbone.norms[stage] = GroupNorm1(norm.num_channels, affine=False).eval()
