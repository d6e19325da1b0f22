"""Key maps of the published PoolFormer checkpoints. Our own trunk uses timm's names."""

from collections.abc import Iterable

from mmplugin.weights.layouts import Layout, rename_by


def _official_rules() -> dict[str, str]:
    rules = {r'patch_embed\.proj\.': 'stem.conv.'}
    for stage in range(4):
        # `network` interleaves stages (even entries) and downsamplings (odd entries)
        rules[rf'network\.{2 * stage}\.(\d+)\.layer_scale_([12])$'] = (
            rf'stages.{stage}.blocks.\1.layer_scale\2.scale'
        )
        rules[rf'network\.{2 * stage}\.(\d+)\.'] = rf'stages.{stage}.blocks.\1.'
        rules[rf'network\.{2 * stage - 1}\.proj\.'] = f'stages.{stage}.downsample.conv.'
        rules[rf'norm{2 * stage}\.'] = f'norms.{stage}.'
    return {**rules, r'norm\.': 'head.norm.', r'head\.(fc\.)?(weight|bias)$': r'head.fc.\2'}


def rename_official(keys: Iterable[str]) -> dict[str, str]:
    """Official (sail-sg) keys, classifier or dense, to ours; mmpretrain's are the same.

    mmpretrain calls the classifier's final norm ``norm6``, the name the dense form gives to the
    output norm of stage 4. It is told apart by standing alone: a dense file has norm2 and norm4
    beside it. A classifier's norm never becomes an output norm.
    """
    keys = list(keys)
    renamed = rename_by(_official_rules(), keys)
    if not any(key.startswith(('norm0.', 'norm2.', 'norm4.')) for key in keys):
        renamed.update(
            {key: key.replace('norm6', 'head.norm') for key in keys if key.startswith('norm6.')}
        )
    return renamed


def rename_timm(keys: Iterable[str]) -> dict[str, str]:
    """timm keys to ours: equal but for ``stages_0`` where timm's ``features_only`` flattens."""
    return rename_by({r'stages_(\d)\.': r'stages.\1.'}, keys)


OFFICIAL = Layout('official', r'network\.\d\.\d+\.mlp\.fc1\.weight', rename_official)
TIMM = Layout('timm or mmplugin', r'stages[._]\d\.blocks\.\d+\.layer_scale1\.scale', rename_timm)
