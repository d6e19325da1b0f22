"""``torch.compile`` for the part of a detector or segmentor that is a plain graph."""

import argparse
import os
import shutil

from mmplugin.cli.errors import UserError


def add_compile_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--compile``."""
    parser.add_argument(
        '--compile',
        nargs='?',
        const='inductor',
        metavar='BACKEND',
        help='compile backbone and neck, not the heads, whose work depends on the data. The first '
        'iterations take minutes; needs a C++ compiler. Default backend: inductor',
    )


def compile_network(runner, backend: str | None) -> None:
    """Let backbone and neck of a runner's model be compiled when they are first called.

    Names in the state dict stay. Sizes that change become symbols, so that not every image size
    is compiled anew.

    Args:
        runner: mmengine Runner.
        backend: of ``torch.compile``; None does nothing.

    Raises:
        UserError: for an unknown backend, or without a compiler for inductor.
    """
    if backend is None:
        return
    import torch

    if backend not in torch.compiler.list_backends(exclude_tags=None):
        known = ', '.join(torch.compiler.list_backends())
        raise UserError(f'--compile: {backend!r} is no backend of torch.compile; it has {known}')
    compilers = (os.environ.get('CXX', 'g++'), 'clang++', 'cl')
    if backend == 'inductor' and not any(map(shutil.which, compilers)):
        raise UserError('--compile: inductor needs a C++ compiler; install g++, or set CXX')
    network = network_of(runner)
    for name in ('backbone', 'neck'):
        part = getattr(network, name, None)
        if part is not None:
            part.compile(backend=backend)
            runner.logger.info(f'--compile: {type(part).__name__} runs through {backend}')


def network_of(runner):
    """The detector or segmentor inside a runner's model: below DDP and test-time augmentation."""
    model = runner.model
    while not hasattr(model, 'backbone') and hasattr(model, 'module'):
        model = model.module
    return model
