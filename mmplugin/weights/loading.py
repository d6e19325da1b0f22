"""Strict loading of a pretrained file into a backbone, with a report."""

import logging
import re
from collections.abc import Collection, Sequence

from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmplugin.weights.layouts import Layout, listed
from mmplugin.weights.report import Report, keep
from mmplugin.weights.unwrapping import freed, unwrap, within

PREFIXES = ('module.', 'backbone.', 'model.')


def load_pretrained(
    backbone: nn.Module,
    checkpoint: str,
    layouts: Sequence[Layout],
    prefix: str | None = None,
    strict: bool = True,
) -> Report:
    """Load a published or own file into a backbone.

    Expected gaps are a classifier head in the file, output norms or late stages that the backbone
    was not asked for, and output norms the file does not hold (they keep their start values 1/0).
    Tables that their module resizes by itself (``can_resize``) may have another size. Anything
    else that is missing, unexpected or of another shape is an error.

    Args:
        backbone: module with a ``norms`` dict of output norms.
        checkpoint: path or URL, as mmengine's loaders take it.
        layouts: the layouts the family knows.
        prefix: read only keys under it, e.g. ``'backbone.'``. Default: found by itself.
        strict: False turns the error into a warning and loads what fits; a file in which
            nothing matches is an error all the same.

    Returns:
        The report. It is logged, one line a part, and in a run written to
        ``work_dir/weights_report.json``.

    Raises:
        ValueError: for a file that holds no state dict, is of no known layout, or does not fit.
    """
    where = f'{type(backbone).__name__}: {checkpoint}'
    state, beside = read_state_dict(checkpoint, prefix)
    layout = next((layout for layout in layouts if layout.matches(state)), None)
    if layout is None:
        raise ValueError(
            f'{where} is of no layout this backbone knows '
            f'({", ".join(layout.name for layout in layouts)}); its first keys are '
            f'{listed(state, 4)}. Is it a file of another network?'
        )
    renamed = {new: state[old] for old, new in layout.rename(state).items()}
    own = backbone.state_dict()
    shared = renamed.keys() & own.keys()
    another_shape = {key for key in shared if renamed[key].shape != own[key].shape}
    resized = {key for key in another_shape if is_resized(key, renamed[key], backbone)}
    misshaped = sorted(another_shape - resized)
    loadable = {key: renamed[key] for key in shared if key not in misshaped}

    absent = own.keys() - renamed.keys()
    absent_norms = {
        key for key in absent if key.startswith('norms.') and not key.startswith(layout.norms)
    }
    extra = renamed.keys() - own.keys()
    head = {key for key in extra if key.startswith('head.')}
    unbuilt = {key for key in extra - head if is_unbuilt(key, backbone)}

    problems = {
        'missing': sorted(absent - absent_norms),
        'unexpected': sorted(extra - head - unbuilt),
        'of another shape': [
            f'{key} {tuple(renamed[key].shape)} for {tuple(own[key].shape)}' for key in misshaped
        ],
    }
    problem = '; '.join(f'{len(v)} {k}: {listed(v)}' for k, v in problems.items() if v)
    if not loadable or (problem and strict):
        raise ValueError(
            f'{where} ({layout.name} layout) does not fit: {problem}. Check that arch is the one '
            'of the file; strict_load=False loads what fits.'
        )
    backbone.load_state_dict(loadable, strict=False)
    gaps: dict[str, Collection[str]] = {
        'resized': resized,
        'output norms not in the file, start at 1/0': absent_norms,
        "classifier's norm and head ignored": head,
        'tensors of stages and outputs not requested ignored': unbuilt,
        'tensors beside the backbone ignored': beside,
    }
    summary = ', '.join(
        [f'{len(loadable)} of {len(own)} tensors loaded from {checkpoint} ({layout.name} layout)']
        + [f'{len(keys)} {text}' for text, keys in gaps.items() if keys]
    )
    outcomes = {
        'loaded': loadable,
        'expected_missing': absent_norms,
        'ignored': [*head, *unbuilt, *(f'beside.{key}' for key in beside)],
        'resized': resized,
        'missing': absent - absent_norms,
        'unexpected': extra - head - unbuilt,
        'misshaped': misshaped,
    }
    report = Report(
        backbone=type(backbone).__name__,
        checkpoint=checkpoint,
        layout=layout.name,
        summary=summary,
        own=tuple(own),
        outcomes={outcome: tuple(keys) for outcome, keys in outcomes.items()},
    )
    for line in (f'{report.backbone}: {summary}', *report.lines()):
        print_log(line, logger='current')
    if problem:
        print_log(f'{where}: {problem}', logger='current', level=logging.WARNING)
    keep(report)
    return report


def read_state_dict(
    checkpoint: str, prefix: str | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a checkpoint, freed of wrapper keys and common prefixes.

    Args:
        checkpoint: path or URL, as mmengine's loaders take it.
        prefix: keep only keys under it; None strips ``_orig_mod.`` where every key has it, and
            ``module.``, then ``backbone.`` or ``model.`` where one has; a classifier's ``head.*``
            beside it is kept.

    Returns:
        The state dict, and the keys left out because they lie beside the prefix.

    Raises:
        ValueError: when the file holds no tensors by name, or several sets of them and nothing
            tells which to take.
    """
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
    weights = unwrap(checkpoint, content).weights
    state, _ = freed(weights) if prefix is None else freed(weights, wrappings=())
    beside: list[str] = []
    for known in PREFIXES if prefix is None else (prefix.rstrip('.') + '.',):
        inside, rest = within(state, known)
        if inside:
            state = inside
            beside += rest
        elif prefix is not None:
            raise ValueError(f'{checkpoint} has no key under {known!r}; it has {listed(state, 4)}')
    return state, beside


def is_unbuilt(key: str, backbone: nn.Module) -> bool:
    """Whether a key belongs to a stage or an output norm that the backbone does not have."""
    stage = re.match(r'stages\.([0-3])\.', key)
    if stage:
        return int(stage[1]) >= len(backbone.stages)
    norm = re.match(r'norms\.([0-3])\.', key)
    return bool(norm) and norm[1] not in backbone.norms


def is_resized(key: str, value: Tensor, backbone: nn.Module) -> bool:
    """Whether the module that owns a parameter takes it in this other size."""
    owner, _, name = key.rpartition('.')
    can_resize = getattr(backbone.get_submodule(owner), 'can_resize', None)
    return can_resize is not None and can_resize(name, value)
