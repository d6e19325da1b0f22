"""Key maps of the published PoolFormer checkpoints. Our own trunk uses timm's names."""

from collections.abc import Iterable

from mmplugin.weights.layouts import Layout, Target, rename_by


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


def rename_transformers(keys: Iterable[str]) -> dict[str, str]:
    """Keys of Hugging Face transformers' PoolFormer, with or without its classifier, to ours."""
    encoder = r'(?:poolformer\.)?encoder\.'
    rules = {rf'{encoder}patch_embeddings\.0\.projection\.': 'stem.conv.'}
    for stage in range(4):
        block, ours = rf'{encoder}block\.{stage}\.(\d+)\.', rf'stages.{stage}.blocks.\1.'
        rules.setdefault(
            rf'{encoder}patch_embeddings\.{stage}\.projection\.', f'stages.{stage}.downsample.conv.'
        )
        rules[rf'{block}before_norm\.'] = f'{ours}norm1.'
        rules[rf'{block}after_norm\.'] = f'{ours}norm2.'
        rules[rf'{block}output\.conv([12])\.'] = rf'{ours}mlp.fc\2.'
        rules[rf'{block}layer_scale_([12])$'] = rf'{ours}layer_scale\2.scale'
    return rename_by({**rules, r'norm\.': 'head.norm.', r'classifier\.': 'head.fc.'}, keys)


OFFICIAL = Layout('official', r'network\.\d\.\d+\.mlp\.fc1\.weight', rename_official)
TIMM = Layout('timm or mmplugin', r'stages[._]\d\.blocks\.\d+\.layer_scale1\.scale', rename_timm)
TRANSFORMERS = Layout(
    'transformers',
    r'(poolformer\.)?encoder\.block\.\d\.\d+\.output\.conv1\.weight',
    rename_transformers,
)
LAYOUTS = (OFFICIAL, TIMM, TRANSFORMERS)


def _to_official_rules(prefix: str = '') -> dict[str, str]:
    rules = {r'stem\.conv\.': f'{prefix}patch_embed.proj.'}
    for stage in range(4):
        block, theirs = rf'stages\.{stage}\.blocks\.(\d+)\.', rf'{prefix}network.{2 * stage}.\1.'
        rules[rf'{block}layer_scale([12])\.scale$'] = rf'{theirs}layer_scale_\2'
        rules[rf'{block}(?=norm[12]\.|mlp\.fc[12]\.)'] = theirs
        rules[rf'stages\.{stage}\.downsample\.conv\.'] = f'{prefix}network.{2 * stage - 1}.proj.'
        rules[rf'norms\.{stage}\.'] = f'{prefix}norm{2 * stage}.'
    return rules


def _to_transformers_rules() -> dict[str, str]:
    encoder = 'poolformer.encoder.'
    rules = {r'stem\.conv\.': f'{encoder}patch_embeddings.0.projection.'}
    for stage in range(4):
        block, theirs = rf'stages\.{stage}\.blocks\.(\d+)\.', rf'{encoder}block.{stage}.\1.'
        rules[rf'stages\.{stage}\.downsample\.conv\.'] = (
            f'{encoder}patch_embeddings.{stage}.projection.'
        )
        rules[rf'{block}norm1\.'] = f'{theirs}before_norm.'
        rules[rf'{block}norm2\.'] = f'{theirs}after_norm.'
        rules[rf'{block}mlp\.fc([12])\.'] = rf'{theirs}output.conv\2.'
        rules[rf'{block}layer_scale([12])\.scale$'] = rf'{theirs}layer_scale_\2'
    return {**rules, r'head\.norm\.': 'norm.', r'head\.fc\.': 'classifier.'}


_TRUNK = (
    r'stem\.conv\.|stages\.\d\.downsample\.conv\.|'
    r'stages\.\d\.blocks\.\d+\.(norm[12]\.|mlp\.fc[12]\.|layer_scale[12]\.scale$)'
)
TARGETS = (
    Target(
        'official',
        {**_to_official_rules(), r'head\.norm\.': 'norm.', r'head\.fc\.': 'head.'},
    ),
    Target('timm', {rf'(?=({_TRUNK}|head\.(norm|fc)\.))': ''}),
    Target(
        'mmpretrain',
        {
            **_to_official_rules('backbone.'),
            r'head\.norm\.': 'backbone.norm6.',
            r'(?=head\.fc\.)': '',
        },
    ),
    Target('transformers', _to_transformers_rules()),
    Target('mmplugin', {rf'(?=({_TRUNK}|norms\.|head\.(norm|fc)\.))': ''}),
)
