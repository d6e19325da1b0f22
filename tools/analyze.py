"""Parameters and multiply-accumulates (MACs) of a config's model, detector or segmentor.

    python tools/analyze.py CONFIG [--shape H W] [--json]

Counted are convolutions, linear layers and matrix products, attention included; one multiply with
its addition is one MAC (papers often print MACs as "FLOPs"). A two-stage detector is counted at
1000 proposals, of which 100 reach the mask head. Weights are random: nothing is downloaded. The
figures of papers made with mmdet's own tool count trainable parameters only.
"""

import argparse
import contextlib
import json
import sys

import mmplugin  # noqa: F401  (mends the frameworks; before they are imported)
from mmplugin.cli import UserError, run
from mmplugin.cli.config import add_config_arguments, load_config

SHAPES = {'mmdet': (800, 1280), 'mmseg': (512, 512)}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='of the image in pixels. Default: 800 1280 for a detector, 512 512 for a segmentor',
    )
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    return parser


def analyze(args: argparse.Namespace) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the result alone
        cfg = load_config(args)
        shape = tuple(args.shape or SHAPES[cfg.default_scope])
        if min(shape) < 1:
            raise UserError(f'--shape takes a height and a width of 1 or more, got {shape}')
        costs, whole = measure(cfg, shape)
    if args.json:
        parts = [cost._asdict() for cost in costs]
        total = whole._asdict()
        del total['name']
        report = {'config': args.config, 'shape': shape, **total, 'parts': parts}
        print(json.dumps(report, indent=2))
        return
    print(f'{args.config} at {shape[0]} x {shape[1]}')
    print(f'{"part":<20}{"parameters / M":>16}{"trainable / M":>16}{"MACs / G":>12}')
    for cost in (*costs, whole):
        millions = f'{cost.params / 1e6:>16.3f}{cost.trainable / 1e6:>16.3f}'
        print(f'{cost.name:<20}{millions}{cost.macs / 1e9:>12.3f}')


def measure(cfg, shape: tuple[int, int]):
    """Build the model of a config and count it: cost of each part, and of the whole."""
    from mmengine.registry import MODELS, init_default_scope

    from mmplugin.analysis.macs import count
    from mmplugin.analysis.models import forward_pass
    from mmplugin.cli.widths import check_widths

    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).eval()
    check_widths(cfg.model, model)
    return count(model, forward_pass(model, shape))


def main(argv: list[str] | None = None) -> int:
    return run(analyze, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
