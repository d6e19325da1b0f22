"""Time networks beside their peers in one interleaved run, and beside the machine's ceilings.

    python tools/benchmark.py                     the whole table of docs/benchmarks.md
    python tools/benchmark.py poolformer-s12 --shapes 512x512 --peers official ours deploy
    python tools/benchmark.py CONFIG.py --modes training     a whole detector or segmentor
    python tools/benchmark.py poolformer-s12-tokens --modes inference training   token halves alone
    python tools/benchmark.py poolformer-s12 --where         and where the time of each peer goes
    python tools/benchmark.py --scale poolformer-s12 container-light container-full

Peers: ours, plain (without fast paths), triton (fast='triton'), deploy, compiled (needs a C
compiler), timm, timm-cl (channels_last), and for backbones, from a clone of the repository,
official: the structure of the released code, layer by layer, in NCHW, and official-compiled. Every
round runs each peer once; medians over rounds. Of several comparisons each runs in a process of its
own.
"""

import argparse
import contextlib
import sys
from functools import partial
from pathlib import Path

import mmplugin  # noqa: F401  (mends the frameworks; before they are imported)
from mmplugin.benchmark.words import add_work_arguments, check_device, work_of
from mmplugin.cli import UserError, run

REPOSITORY = Path(__file__).resolve().parents[1]
MASK_RCNN = 'configs/poolformer/mask-rcnn_poolformer-s12_fpn_1x_coco.py'
WHOLE = [  # network, mode, image size
    ('poolformer-s12', 'inference', '512x512'),
    ('poolformer-s12', 'inference', '800x1344'),
    ('poolformer-s24', 'inference', '512x512'),
    ('poolformer-s24', 'inference', '800x1344'),
    ('container-light', 'inference', '800x1344'),
    ('poolformer-s12-tokens', 'inference', '800x1344'),
    ('poolformer-s12-tokens', 'training', '800x1344'),
    ('poolformer-s12', 'training', '512x512'),
    ('poolformer-s12', 'training', '800x1344'),
    (str(REPOSITORY / MASK_RCNN), 'training', '800x1344'),
]
SCALED = ['poolformer-s12', 'container-light', 'container-full']


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        'networks',
        nargs='*',
        help='FAMILY-ARCH, poolformer-ARCH-tokens or CONFIG.py. Default: the whole table',
    )
    add(
        '--peers',
        nargs='+',
        help='the first is what others are compared with. Default: official timm-cl ours deploy; '
        'for token halves plain ours, for a config timm-cl timm plain ours',
    )
    add('--scale', action='store_true', help='time and memory over image area and batch instead')
    add_work_arguments(parser)
    add('--where', action='store_true', help='and the time of each peer by kind of operation')
    add('--seconds', type=float, help='for the rounds of a comparison. Default: 20, in --scale 1')
    add('--max-seconds', type=float, default=4, help='of a call in --scale. Default: 4')
    add('--max-gb', type=float, default=3, help='of saved activations in --scale. Default: 3')
    add('--out', help='FOLDER for benchmark.json (.md, .png), in --scale scaling.json')
    return parser


def benchmark(args: argparse.Namespace) -> None:
    import torch

    from mmplugin.benchmark.machine import environment

    if args.where and args.device != 'cpu':
        raise UserError('--where counts the time of a CPU alone')
    if args.where and any('compiled' in peer for peer in args.peers or ()):
        raise UserError('--where does not see into compiled peers')
    check_device(args.device)
    if args.seconds is None:
        args.seconds = 1 if args.scale else 20
    if args.threads:
        torch.set_num_threads(args.threads)
    command = ' '.join(['python', 'tools/benchmark.py', *sys.argv[1:]])
    machine = dict(command=command, **environment(args.device))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the result alone
            text = (scale if args.scale else compare_all)(args, machine)
    except ValueError as error:
        raise UserError(str(error)) from error
    print(text)


def compare_all(args: argparse.Namespace, machine: dict) -> str:
    """Compare the peers of every network; the tables."""
    from mmplugin.benchmark.cases import case_of
    from mmplugin.benchmark.ceilings import copy_bandwidth
    from mmplugin.benchmark.fresh import compare_named, in_process_of_its_own
    from mmplugin.benchmark.record import publish
    from mmplugin.benchmark.report import plot, roofline_table, table, where_table

    chosen = WHOLE
    if args.networks:
        chosen = [
            (n, m, s) for n in args.networks for m in args.modes for s in args.shapes or ['512x512']
        ]
    works = [work_of(args, mode, shape) for _, mode, shape in chosen]
    bandwidth = copy_bandwidth(args.device)
    machine['copy_gb_s'] = round(bandwidth / 1e9, 1)
    measure = compare_named
    if len(chosen) > 1:
        measure = partial(in_process_of_its_own, compare_named)
        for network in dict.fromkeys(network for network, _, _ in chosen):
            case_of(network)  # a config that cannot be read is said first
    rows = []
    for (network, _, _), work in zip(chosen, works):
        rows += measure(network, args.peers, work, args.seconds, bandwidth, args.where)
        tell(f'{network} {work.mode} {work.shape} done')
    tables = [table(rows), roofline_table(rows, bandwidth)]
    if args.where:
        tables.append(where_table(rows))
    draw = partial(plot, rows)
    return publish('benchmark', machine, {'rows': rows}, tables, draw, args.out)


def scale(args: argparse.Namespace, machine: dict) -> str:
    """Sweep image area and batch; the table."""
    from mmplugin.benchmark.record import publish
    from mmplugin.benchmark.scaling import Limits, plot_scaling, scaling_table, sweep

    if args.peers or args.shapes or args.batch != 1 or len(args.modes) > 1 or args.where:
        raise UserError(
            '--scale has its own sizes: it takes no --peers, --shapes, --batch or --where, and one '
            'mode'
        )
    work = work_of(args, args.modes[0], '1x1')
    limits = Limits(args.max_seconds, args.max_gb * 1e3)
    points, left_out = sweep(args.networks or SCALED, work, args.seconds, limits, tell)
    tables = [scaling_table(points), *(f'left out: {line}' for line in left_out)]
    draw = partial(plot_scaling, points, work.mode, left_out)
    results = {'points': points, 'left_out': left_out}
    return publish('scaling', machine, results, tables, draw, args.out)


def tell(line: str) -> None:
    """Say something beside the result."""
    sys.stderr.write(f'{line}\n')


def main(argv: list[str] | None = None) -> int:
    return run(benchmark, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
