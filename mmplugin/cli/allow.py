"""Classes of the user's own in a checkpoint, allowed by name for one run."""

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mmplugin.cli.errors import UserError

HARMLESS = ('collections', 'datetime', 'decimal', 'fractions', 'pathlib', 'uuid')
"""Modules of Python itself whose classes hold values and do nothing else."""


def add_allow_argument(parser: argparse.ArgumentParser) -> None:
    """``--allow-globals``."""
    parser.add_argument(
        '--allow-globals',
        nargs='+',
        default=[],
        metavar='MODULE.CLASS',
        help='classes that checkpoints of this run may hold beside weights and plain values. For '
        'files you made yourself: reading one calls what the class does when it is unpickled',
    )


@contextmanager
def allowing(names: Sequence[str]) -> Iterator[None]:
    """Let checkpoints hold instances of the named classes, inside this context.

    Args:
        names: full names, as the refusal of a file shows them.

    Raises:
        UserError: for a name that cannot be imported, is no class, or is of Python itself and
            could do harm, such as ``subprocess.Popen``.
    """
    import torch

    classes = [named_class(name) for name in names]
    # under the name given as well: a file may know the class by an older place
    entries = [*classes, *zip(classes, names)]
    with torch.serialization.safe_globals(entries):
        yield


def named_class(name: str) -> type:
    """Import a class by its full name."""
    module, _, attribute = name.rpartition('.')
    top = module.partition('.')[0]
    if top in sys.stdlib_module_names and module not in HARMLESS:
        raise UserError(
            f'--allow-globals {name}: it is of Python itself and could do anything; no checkpoint '
            'needs it, and a file that holds it should be deleted'
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f'--allow-globals {name}: cannot be imported ({error}); it takes MODULE.CLASS, and the '
            'module has to be on PYTHONPATH'
        ) from error
    if not isinstance(found, type):
        raise UserError(
            f'--allow-globals {name}: is no class; functions in a checkpoint are never called'
        )
    return found
