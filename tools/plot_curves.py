"""Plot a training, or several beside each other.

    python tools/plot_curves.py WORK_DIR --out curves.png --metrics coco/bbox_mAP coco/segm_mAP
    python tools/plot_curves.py A B C --out runs.png --metrics coco/bbox_mAP --names a b c

Of one training: losses, learning rate and validation metrics. Of several: their losses in one plot,
with speed, and one metric in another.
"""

import argparse
import sys
from pathlib import Path

from mmplugin.cli import UserError, run
from mmplugin.visual.comparison import plot_comparison
from mmplugin.visual.curves import plot_curves, training_logs


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'work_dirs',
        nargs='+',
        help='work dirs of trainings; pieces of a resumed one are joined',
    )
    parser.add_argument('--out', type=Path, required=True, help='picture file to write')
    parser.add_argument(
        '--metrics',
        nargs='+',
        required=True,
        help='validation metrics, by their names in the log; one for several trainings',
    )
    parser.add_argument(
        '--names', nargs='+', help='names of several trainings. Default: their folders'
    )
    parser.add_argument('--title', default='', help='text above')
    return parser


def plot(args: argparse.Namespace) -> None:
    logs = [training_logs(work_dir) for work_dir in args.work_dirs]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if len(logs) == 1:
        plot_curves(logs[0], args.out, args.metrics, args.title)
    else:
        names = args.names or args.work_dirs
        if len(names) != len(logs) or len(set(names)) != len(names):
            raise UserError(f'--names: {len(logs)} different names wanted, got {names}')
        if len(args.metrics) != 1:
            raise UserError(f'--metrics: one for several trainings, got {args.metrics}')
        runs = dict(zip(names, logs, strict=True))
        plot_comparison(runs, args.out, args.metrics[0], args.title)
    print(args.out)


def main(argv: list[str] | None = None) -> int:
    return run(plot, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
