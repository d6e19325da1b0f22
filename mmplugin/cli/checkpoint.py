"""Refusing a checkpoint that is not the model's own."""

import contextlib
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from mmplugin.cli.errors import UserError


def require_file(checkpoint: str) -> None:
    """Raise UserError when a local checkpoint does not exist; URLs are left to the loader."""
    if '://' not in checkpoint and not Path(checkpoint).is_file():
        raise UserError(f'checkpoint {checkpoint} does not exist (looked from {Path.cwd()})')


@contextlib.contextmanager
def naming_misfits(checkpoint: str) -> Iterator[None]:
    """Within it, mmengine's list of tensors that do not fit becomes one line of a UserError."""
    try:
        yield
    except RuntimeError as error:
        if 'do not match exactly' not in str(error):
            raise
        raise UserError(misfit(checkpoint, str(error))) from error


def guard_loading(runner, exact: bool) -> None:
    """Make a runner refuse checkpoints that mmengine would load with a mere warning.

    Args:
        runner: mmengine Runner; its ``load_checkpoint`` is replaced.
        exact: demand every tensor of the model and no other, as for testing and resuming. When
            False, as for fine-tuning, at least one tensor has to fit.
    """
    stock = runner.load_checkpoint

    def load_checkpoint(filename, map_location='cpu', strict=False, **revise):
        with naming_misfits(filename):
            content = stock(filename, map_location, strict or exact, **revise)
        if not fitting(runner.model, content.get('state_dict', content)):
            raise UserError(
                f'no tensor of checkpoint {filename} fits the model of the config; weights of a '
                'backbone alone belong in model.backbone.init_cfg, not in load_from'
            )
        if exact and (warning := other_classes(runner, content, filename)):
            runner.logger.warning(warning)
        return content

    runner.load_checkpoint = load_checkpoint


def other_classes(runner, content: dict, filename: str) -> str | None:
    """A warning where the runner's data have other classes than those a checkpoint was trained on,
    as many: its predictions would count for classes they are not of."""
    from mmengine.runner import BaseLoop

    loops = [loop for loop in (runner._test_loop, runner._train_loop) if isinstance(loop, BaseLoop)]
    trained = content.get('meta', {}).get('dataset_meta', {}).get('classes')
    here = loops[0].dataloader.dataset.metainfo.get('classes') if loops else None
    if not trained or not here or list(trained) == list(here):
        return None
    place, (old, new) = next(
        (i, pair) for i, pair in enumerate(zip_longest(trained, here)) if pair[0] != pair[1]
    )
    return (
        f'checkpoint {filename} was trained on other classes than the data have: class {place} is '
        f'{old!r} there and {new!r} here'
    )


def misfit(filename: str, message: str) -> str:
    """mmengine's long list of differences in one line."""
    missing = re.search(r'^missing keys in source state_dict: (.*)$', message, re.M)
    unexpected = re.search(r'^unexpected key in source state_dict: (.*)$', message, re.M)
    kinds = {
        'of another shape': re.findall(r'size mismatch for (\S+):', message),
        'missing': missing[1].split(', ') if missing else [],
        'not in the model': unexpected[1].split(', ') if unexpected else [],
    }
    parts = [
        f'{len(keys)} {kind} ({", ".join(keys[:3])}{", ..." if len(keys) > 3 else ""})'
        for kind, keys in kinds.items()
        if keys
    ]
    return (
        f'checkpoint {filename} is not of the model in the config: {"; ".join(parts)}; name the '
        'config it was trained with (a detector or segmentor of mmdet 2.x or mmseg 0.x: first '
        '`python tools/weights.py convert`)'
    )


def fitting(model, state: dict) -> bool:
    """Whether any tensor of ``state`` has the name and shape of one of the model's."""
    inner = getattr(model, 'module', model)
    shapes = {name: value.shape for name, value in inner.state_dict().items()}
    for name, value in state.items():
        shape = shapes.get(name.removeprefix('module.'))
        if shape is not None and shape == getattr(value, 'shape', None):
            return True
    return False
