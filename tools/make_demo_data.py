"""Generate the demonstration data: OUT/coco (instances) and OUT/ade (semantic).

    python tools/make_demo_data.py --out data/demo --seed 0

An intact copy made with the same arguments is kept. A folder that this tool made is replaced when
the arguments differ or files were damaged; any other is left alone, with an error.
"""

import argparse
import sys
from pathlib import Path

from mmplugin.cli import run
from mmplugin.datasets.ade import write_ade
from mmplugin.datasets.coco import write_coco


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, required=True, help='folder to make')
    parser.add_argument('--seed', type=int, default=0, help='of all four splits. Default: 0')
    parser.add_argument(
        '--train', type=int, default=400, help='pictures to learn from. Default: 400'
    )
    parser.add_argument('--val', type=int, default=60, help='held-out pictures. Default: 60')
    return parser


def make(args: argparse.Namespace) -> None:
    for name, write in {'coco': write_coco, 'ade': write_ade}.items():
        made = write(args.out / name, args.seed, args.train, args.val)
        print(f'{args.out / name}: {"generated" if made else "intact, kept"}', flush=True)


def main(argv: list[str] | None = None) -> int:
    return run(make, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
