"""Time backbones beside their peers in one interleaved run, and beside the machine's ceilings.

    python tools/benchmark.py                     the whole table of docs/benchmarks.md
    python tools/benchmark.py poolformer-s12 --shapes 512x512 --peers official ours deploy

Peers: ours, plain (without fast paths), deploy, compiled (needs a C compiler), timm, timm-cl
(channels_last), and from a clone of the repository official: the structure of the released code,
layer by layer, in NCHW. Every round runs each peer once; medians over rounds.
"""

import argparse
import importlib
import importlib.metadata
import json
import platform
import sys
from pathlib import Path

import mmplugin  # noqa: F401  (mends the frameworks; before they are imported)
from mmplugin.cli import UserError, run

REPOSITORY = Path(__file__).resolve().parents[1]
WHOLE = [  # network, mode, image size
    ('poolformer-s12', 'inference', '512x512'),
    ('poolformer-s12', 'inference', '800x1344'),
    ('poolformer-s24', 'inference', '512x512'),
    ('poolformer-s24', 'inference', '800x1344'),
    ('container-light', 'inference', '800x1344'),
    ('poolformer-s12', 'training', '512x512'),
    ('poolformer-s12', 'training', '800x1344'),
]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('backbones', nargs='*', help='FAMILY-ARCH. Default: the whole table')
    parser.add_argument(
        '--peers',
        nargs='+',
        default=['official', 'timm-cl', 'ours', 'deploy'],
        help='the first is what others are compared with. Default: official timm-cl ours deploy',
    )
    parser.add_argument('--modes', nargs='+', default=['inference'], help='inference, training')
    parser.add_argument('--shapes', nargs='+', default=['512x512'], help='HEIGHTxWIDTH')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--dtype', default='float32', help='of weights and images')
    parser.add_argument('--device', default='cpu', choices=('cpu', 'cuda'))
    parser.add_argument('--threads', type=int, help="of the CPU. Default: torch's")
    parser.add_argument(
        '--seconds', type=float, default=30, help='for the rounds of one comparison. Default: 30'
    )
    parser.add_argument('--out', help='FOLDER for benchmark.json, .md and .png')
    return parser


def benchmark(args: argparse.Namespace) -> None:
    import torch

    from mmplugin.benchmark.ceilings import copy_bandwidth
    from mmplugin.benchmark.report import plot, table
    from mmplugin.benchmark.rows import MODES, compare

    chosen = WHOLE
    if args.backbones:
        chosen = [(b, m, s) for b in args.backbones for m in args.modes for s in args.shapes]
    unknown = sorted({mode for _, mode, _ in chosen} - set(MODES))
    if unknown:
        raise UserError(f'--modes: {unknown[0]!r} is neither of {", ".join(MODES)}')
    dtype = getattr(torch, args.dtype, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise UserError(f'--dtype: {args.dtype!r} is none, e.g. float32 or bfloat16')
    if args.threads:
        torch.set_num_threads(args.threads)
    rows = []
    for backbone, mode, shape in chosen:
        settings = (args.batch, dtype, args.device, args.seconds, {'official': build_official})
        try:
            rows += compare(backbone, args.peers, mode, size_of(shape), *settings)
        except ValueError as error:
            raise UserError(str(error)) from error
        sys.stderr.write(f'{backbone} {mode} {shape} done\n')
    machine = environment(args.device)
    machine['copy_gb_s'] = round(copy_bandwidth(args.device) / 1e9, 1)
    text = '\n'.join(f'{key}: {value}' for key, value in machine.items())
    print(f'{text}\n\n{table(rows)}')
    if args.out:
        out = Path(args.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / 'benchmark.json').write_text(
            json.dumps({'machine': machine, 'rows': rows}, indent=2)
        )
        (out / 'benchmark.md').write_text(f'{text}\n\n{table(rows)}\n')
        plot(rows, out / 'benchmark.png')


def size_of(shape: str) -> tuple[int, int]:
    height, _, width = shape.partition('x')
    if not (height.isdecimal() and width.isdecimal()):
        raise UserError(f'--shapes takes HEIGHTxWIDTH, as in 800x1344, got {shape!r}')
    return int(height), int(width)


def build_official(backbone: str):
    """The released structure of a network; it lies with the tests, which are not installed."""
    if not (REPOSITORY / 'tests' / 'reference').is_dir():
        raise UserError('--peers official needs a clone of the repository')
    if str(REPOSITORY) not in sys.path:
        sys.path.insert(0, str(REPOSITORY))
    family, _, arch = backbone.partition('-')
    if family == 'poolformer':
        from mmplugin.backbones.poolformer import VARIANTS

        if arch in VARIANTS:
            settings = VARIANTS[arch]
            module = importlib.import_module('tests.reference.poolformer')
            return module.OfficialPoolFormer(settings['depths'], settings['embed_dims'])
    if backbone == 'container-light':
        return importlib.import_module('tests.reference.container').ReleasedContainer()
    raise UserError(f'{backbone!r} has no released structure to compare with')


def environment(device: str) -> dict:
    """Machine and versions, for the record."""
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.partition(': ')[2] for x in lines if x.startswith('model name')), model)
    return dict(
        command=' '.join(['python', 'tools/benchmark.py', *sys.argv[1:]]),
        device=torch.cuda.get_device_name() if device == 'cuda' else model,
        instructions=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        timm=importlib.metadata.version('timm'),
    )


def main(argv: list[str] | None = None) -> int:
    return run(benchmark, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
