"""Draw predictions beside the ground truth, for a detector or a segmentor.

python tools/contact_sheet.py CONFIG CHECKPOINT --out sheet.png
"""

import argparse
import sys
from pathlib import Path

import mmplugin  # noqa: F401  (mends the frameworks; before they are imported)
from mmplugin.cli import run
from mmplugin.cli.checkpoint import require_file
from mmplugin.cli.config import add_config_arguments, load_config
from mmplugin.cli.data import check_data
from mmplugin.visual.contact_sheet import draw_contact_sheet
from mmplugin.visual.predictions import predict_first


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file of the same model')
    parser.add_argument('--out', type=Path, required=True, help='picture file to write')
    parser.add_argument(
        '--count', type=int, default=8, help='pictures, from the start of the test set. Default: 8'
    )
    parser.add_argument(
        '--score-thr', type=float, default=0.5, help='objects below are not drawn. Default: 0.5'
    )
    parser.add_argument('--title', default='', help='text above the page')
    return parser


def draw(args: argparse.Namespace) -> None:
    cfg = load_config(args)
    require_file(args.checkpoint)
    check_data(cfg, 'test')
    samples, metainfo = predict_first(cfg, args.checkpoint, args.count)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    draw_contact_sheet(samples, metainfo, args.out, args.score_thr, args.title)
    print(args.out)


def main(argv: list[str] | None = None) -> int:
    return run(draw, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
