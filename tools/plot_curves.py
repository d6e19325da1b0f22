"""Plot loss, learning rate and validation metrics of a training.

python tools/plot_curves.py WORK_DIR --out curves.png --metrics coco/bbox_mAP coco/segm_mAP
"""

import argparse
import sys
from pathlib import Path

from mmplugin.cli import run
from mmplugin.visual.curves import newest_log, plot_curves


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('work_dir', help='work dir of the training; its newest log is taken')
    parser.add_argument('--out', type=Path, required=True, help='picture file to write')
    parser.add_argument(
        '--metrics', nargs='+', required=True, help='validation metrics, by their names in the log'
    )
    parser.add_argument('--title', default='', help='text above')
    return parser


def plot(args: argparse.Namespace) -> None:
    args.out.parent.mkdir(parents=True, exist_ok=True)
    plot_curves(newest_log(args.work_dir), args.out, args.metrics, args.title)
    print(args.out)


def main(argv: list[str] | None = None) -> int:
    return run(plot, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
