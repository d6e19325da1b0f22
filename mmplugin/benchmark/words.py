"""From the words of the command line to what is measured."""

import argparse

from mmplugin.cli.errors import UserError

LAYOUTS = {'nchw': 'contiguous_format', 'channels_last': 'channels_last'}
"""Word: name of torch's memory format."""


def add_work_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of ``work_of``, and ``--modes`` and ``--shapes``."""
    add = parser.add_argument
    add('--modes', nargs='+', default=['inference'], help='inference, training')
    add('--shapes', nargs='+', help='HEIGHTxWIDTH. Default: 512x512')
    add('--batch', type=int, default=1, help='images. Default: 1')
    add('--dtype', default='float32', help='of weights and images; with --amp of operations')
    add('--amp', action='store_true', help='float32 weights under autocast to --dtype')
    add('--layout', choices=LAYOUTS, default='nchw', help='of the images. Default: nchw')
    add('--device', default='cpu', choices=('cpu', 'cuda'))
    add('--threads', type=int, help="of the CPU. Default: torch's")


def check_device(device: str) -> None:
    """Whether this machine has it.

    Raises:
        UserError: when it has not.
    """
    import torch

    if device == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: there is no GPU that torch can use')


def work_of(args: argparse.Namespace, mode: str, shape: str):
    """What a comparison is to do, as a ``Work``.

    Raises:
        UserError: for a word that names nothing.
    """
    import torch

    from mmplugin.benchmark.work import MODES, Work

    if mode not in MODES:
        raise UserError(f'--modes: {mode!r} is neither of {", ".join(MODES)}')
    height, _, width = shape.partition('x')
    if not (height.isdecimal() and width.isdecimal()):
        raise UserError(f'--shapes takes HEIGHTxWIDTH, as in 800x1344, got {shape!r}')
    dtype = getattr(torch, args.dtype, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise UserError(f'--dtype: {args.dtype!r} is none, e.g. float32 or bfloat16')
    if args.batch < 1:
        raise UserError(f'--batch takes 1 or more, got {args.batch}')
    size = int(height), int(width)
    layout = getattr(torch, LAYOUTS[args.layout])
    return Work(mode, size, args.batch, dtype, args.device, args.amp, layout)
