"""Weight files: look into them, convert them, compare them, fetch published ones, publish yours.

    python tools/weights.py inspect FILE
    python tools/weights.py convert SRC DST --to timm
    python tools/weights.py diff A B
    python tools/weights.py fetch NAME
    python tools/weights.py publish CKPT OUT.pth

FILE, SRC, A, B and CKPT are paths, URLs or names: mmplugin://NAME for the table of docs/weights.md
(fetch without NAME shows it), timm://NAME and hf://OWNER/NAME for the Hugging Face hub. Nothing in
a file is ever run, but classes of your own that you name with --allow-globals.
"""

import argparse
import json
import sys

import mmplugin  # mends the frameworks; before they are imported
from mmplugin.cli import run
from mmplugin.cli.allow import add_allow_argument, allowing


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(allow_globals=[])  # of fetch, which reads nothing
    reading = argparse.ArgumentParser(add_help=False)
    add_allow_argument(reading)
    commands = parser.add_subparsers(dest='command', required=True)
    wrapper = 'which weights of a training file, e.g. model_ema. Default: by a known name, or alone'

    command = commands.add_parser(
        'inspect', parents=[reading], help='what a file is, and how many parameters'
    )
    command.add_argument('file')
    command.add_argument('--wrapper', help=wrapper)
    command.add_argument('--json', action='store_true', help='print JSON')

    command = commands.add_parser(
        'convert', parents=[reading], help='write weights in another layout'
    )
    command.add_argument('src')
    command.add_argument('dst', help='ends in .safetensors or .pth')
    command.add_argument(
        '--to',
        default='mmplugin',
        help='mmplugin, official, timm, mmpretrain or transformers. Default: mmplugin',
    )
    command.add_argument('--wrapper', help=wrapper)
    command.add_argument(
        '--backbone', action='store_true', help='of a detector or segmentor, the backbone alone'
    )
    command.add_argument(
        '--drop', action='store_true', help='leave out tensors without a place in the target'
    )
    command.add_argument('--force', action='store_true', help='overwrite DST')

    command = commands.add_parser(
        'diff', parents=[reading], help='compare tensor by tensor; exit code 1 if different'
    )
    command.add_argument('a')
    command.add_argument('b')
    command.add_argument('--json', action='store_true', help='print JSON')

    command = commands.add_parser('fetch', help='download published weights, print their path')
    command.add_argument('name', nargs='?', help='without it, the table is shown')
    command.add_argument('--cache', help="folder. Default: torch.hub's, which TORCH_HOME moves")
    command.add_argument('--offline', action='store_true', help='use no network')

    command = commands.add_parser(
        'publish', parents=[reading], help='strip a checkpoint, put its hash into its name'
    )
    command.add_argument('ckpt')
    command.add_argument('out', help='NAME.pth, which becomes NAME-xxxxxxxx.pth')
    command.add_argument('--force', action='store_true', help='overwrite')
    return parser


def weights(args: argparse.Namespace) -> None:
    with allowing(args.allow_globals):
        carry_out(args)


def carry_out(args: argparse.Namespace) -> None:
    from mmplugin.cli import weights as shown
    from mmplugin.weights import comparing, conversion, fetch, inspecting, publishing

    if args.command == 'inspect':
        report = inspecting.inspect(args.file, shown.name_variant, args.wrapper)
        print(json.dumps(report, indent=2) if args.json else shown.described(report))
    elif args.command == 'convert':
        tool = f'mmplugin {mmplugin.__version__}'
        words = (args.wrapper, args.drop, args.backbone, args.force)
        done = conversion.convert(args.src, args.dst, args.to, tool, *words)
        print(f'{args.dst}: {done["tensors"]} tensors, {done["from"]} to {done["to"]}')
        if done['dropped']:
            print(f'left out: {", ".join(done["dropped"])}')
    elif args.command == 'diff':
        report = comparing.diff(args.a, args.b)
        print(json.dumps(report, indent=2) if args.json else shown.differences(report))
        if any(value for key, value in report.items() if key != 'equal'):
            sys.exit(1)
    elif args.command == 'fetch' and args.name is None:
        print(shown.table())
    elif args.command == 'fetch':
        name = args.name.removeprefix('mmplugin://')
        print(fetch.fetch(name, args.cache, args.offline, progress=sys.stderr.isatty()))
    else:
        print(publishing.publish(args.ckpt, args.out, args.force))


def main(argv: list[str] | None = None) -> int:
    return run(weights, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
