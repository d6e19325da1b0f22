"""Names and shapes of published layouts, unfolded from the files beside this one."""

import re
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent
GOLDEN = {
    'PoolFormer': yaml.safe_load((FOLDER / 'poolformer.yml').read_text()),
    'Container': yaml.safe_load((FOLDER / 'container.yml').read_text()),
}
HEADS = yaml.safe_load((FOLDER / 'heads.yml').read_text())

Shapes = dict[str, tuple[int, ...]]


def cases() -> list[tuple[str, str, str, str]]:
    """(family, layout, form, variant) of every published naming."""
    return [
        (family, layout, form, variant)
        for family, golden in GOLDEN.items()
        for layout, groups in golden['layouts'].items()
        for form in ('classifier', 'dense')
        if form == 'classifier' or 'dense_stage' in groups or family == 'Container'
        for variant in golden['variants']
    ]


def shapes_of(family: str, layout: str, form: str, variant: str) -> Shapes:
    """Every name with its shape. ``form`` is ``'classifier'`` or ``'dense'``."""
    golden = GOLDEN[family]
    groups = golden['layouts'][layout]
    depths, dims = golden['variants'][variant]['depths'], golden['variants'][variant]['dims']
    found: Shapes = {}

    def add(group: str, stage: int = 0, block: int = 0) -> None:
        words = {'{i}': stage, '{2i}': 2 * stage, '{2i-1}': 2 * stage - 1, '{i+1}': stage + 1}
        words['{j}'] = block
        sizes = {f'C{k}': dim for k, dim in enumerate(dims)}
        sizes |= {'C': dims[stage], '3C': 3 * dims[stage], 'P': dims[stage - 1]}
        sizes['H'] = golden['ratios'][stage] * dims[stage]
        for name, shape in groups.get(group, {}).items():
            name = re.sub(r'\{.*?\}', lambda match: str(words[match[0]]), name)
            found[name] = tuple(sizes.get(size, size) for size in shape)

    add('once')
    for stage, depth in enumerate(depths):
        if stage:
            add('later_stage', stage)
        for block in range(depth):
            add('block', stage, block)
            add('last_block' if stage == 3 else 'early_block', stage, block)
        if form == 'dense':
            add('dense_stage', stage)
    if form == 'classifier':
        add('classifier')
    return found


def heads_of(algorithm: str, dims: list[int]) -> Shapes:
    """Neck and heads of a detector or segmentor."""
    sizes = {f'C{k}': dim for k, dim in enumerate(dims)}
    found: Shapes = {}
    for name, shape in HEADS[algorithm].items():
        first, last = map(int, m.groups() if (m := re.search(r'\{(\d)-(\d)\}', name)) else (0, 0))
        for n in range(first, last + 1):
            key = re.sub(r'\{.*?\}', str(n), name)
            found[key] = tuple(sizes.get(size, size) for size in shape)
    return found
