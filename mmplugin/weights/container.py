"""Key maps of the published Container checkpoint (allenai/container ``container_v1_light``)."""

from collections.abc import Iterable

from mmplugin.weights.layouts import Layout, Target, rename_by


def _released_rules() -> dict[str, str]:
    rules = {}
    for stage in range(4):
        embed = f'stages.{stage}.downsample' if stage else 'stem'
        rules[rf'patch_embed{stage + 1}\.proj\.'] = f'{embed}.conv.'
        rules[rf'patch_embed{stage + 1}\.norm\.'] = f'{embed}.norm.'
        blocks, ours = rf'blocks{stage + 1}\.(\d+)\.', rf'stages.{stage}.blocks.\1.'
        rules[rf'{blocks}pos_embed\.'] = f'{ours}position.'
        rules[rf'{blocks}conv1\.'] = f'{ours}token_mixer.in_proj.'
        rules[rf'{blocks}conv2\.'] = f'{ours}token_mixer.out_proj.'
        # the depthwise convolution is `attn` where there is no attention, `conv` beside it
        depthwise = 'conv' if stage == 3 else 'attn'
        rules[rf'{blocks}{depthwise}\.'] = f'{ours}token_mixer.static.'
        rules[rf'{blocks}sa_weight$'] = f'{ours}token_mixer.gate.logit'
        rules[rf'{blocks}(?=norm[12]\.|mlp\.)'] = ours
    return {**rules, r'norm\.': 'norms.3.'}


def rename_released(keys: Iterable[str]) -> dict[str, str]:
    """Released keys to ours; the classifier's ``head.*`` keeps its name."""
    return rename_by(_released_rules(), keys)


def rename_own(keys: Iterable[str]) -> dict[str, str]:
    """Our own keys, unchanged."""
    return {key: key for key in keys}


RELEASED = Layout('released', r'blocks4\.\d+\.sa_weight', rename_released, norms=('norms.3.',))
OWN = Layout('mmplugin', r'stages\.\d\.blocks\.\d+\.token_mixer\.out_proj\.weight', rename_own)
LAYOUTS = (RELEASED, OWN)


def _to_released_rules() -> dict[str, str]:
    rules = {}
    for stage in range(4):
        embed = rf'stages\.{stage}\.downsample' if stage else 'stem'
        rules[rf'{embed}\.conv\.'] = f'patch_embed{stage + 1}.proj.'
        rules[rf'{embed}\.norm\.'] = f'patch_embed{stage + 1}.norm.'
        blocks, theirs = rf'stages\.{stage}\.blocks\.(\d+)\.', rf'blocks{stage + 1}.\1.'
        rules[rf'{blocks}position\.'] = f'{theirs}pos_embed.'
        rules[rf'{blocks}token_mixer\.in_proj\.'] = f'{theirs}conv1.'
        rules[rf'{blocks}token_mixer\.out_proj\.'] = f'{theirs}conv2.'
        depthwise = 'conv' if stage == 3 else 'attn'
        rules[rf'{blocks}token_mixer\.static\.(?=(weight|bias)$)'] = f'{theirs}{depthwise}.'
        if stage == 3:  # the released code mixes nowhere else
            rules[rf'{blocks}token_mixer\.gate\.logit$'] = f'{theirs}sa_weight'
        rules[rf'{blocks}(?=norm[12]\.|mlp\.)'] = theirs
    return {**rules, r'norms\.3\.': 'norm.', r'(?=head\.(weight|bias)$)': ''}


TARGETS = (
    Target('official', _to_released_rules()),
    Target('mmplugin', {r'(?=stem\.|stages\.|norms\.|head\.(weight|bias)$)': ''}),
)
