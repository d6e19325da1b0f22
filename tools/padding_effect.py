"""What padding does to a backbone's features of the image itself.

    python tools/padding_effect.py CONFIG --checkpoint FILE --images PHOTO ... [--side PIXELS]

Each photo, cut to multiples of 32, goes through the backbone alone and padded: by 32 pixels on both
sides, by a quarter of its width, and to a square of its longer side plus a quarter. Printed are
relative differences (root mean square) over the cells of the photo, and over those 4 cells and more
from the padding. 0 would mean that padding changes nothing there.
"""

import argparse
import sys
from pathlib import Path

import mmplugin  # noqa: F401  (mends the frameworks; before they are imported)
from mmplugin.cli import UserError, run
from mmplugin.cli.checkpoint import naming_misfits
from mmplugin.cli.config import add_config_arguments, load_config


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument('--checkpoint', required=True, help='of the trained model')
    parser.add_argument('--images', nargs='+', required=True, metavar='PHOTO')
    parser.add_argument(
        '--side', type=int, default=480, help='shorter side of the photos in pixels. Default: 480'
    )
    return parser


def compare(args: argparse.Namespace) -> None:
    from mmengine.registry import MODELS, init_default_scope
    from mmengine.runner import load_checkpoint

    from mmplugin.analysis.padding import normalised, padding_effect

    if args.side < 160:
        raise UserError(f'--side must be 160 or more, got {args.side}: 4 cells are 128 pixels')
    for path in (args.checkpoint, *args.images):
        if not Path(path).is_file():
            raise UserError(f'{path} does not exist')
    cfg = load_config(args)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).eval()
    with naming_misfits(args.checkpoint):
        load_checkpoint(model, args.checkpoint, map_location='cpu', strict=True)
    print(f'{"padding":<12}{"stride":>8}{"whole":>10}{"far":>10}   (mean of {len(args.images)})')
    found = {}
    for path in args.images:
        image = normalised(path, args.side, model.data_preprocessor)
        height, width = image.shape[-2:]
        longer = max(height, width)
        shapes = {
            '32 pixels': (height + 32, width + 32),
            'quarter': (height, width + width // 128 * 32),
            'square': (longer + longer // 128 * 32,) * 2,
        }
        for name, shape in shapes.items():
            for row in padding_effect(model.backbone, image, shape):
                found.setdefault((name, row['stride']), []).append((row['whole'], row['far']))
    for (name, stride), values in found.items():
        whole, far = (sum(column) / len(values) for column in zip(*values))
        print(f'{name:<12}{stride:>8}{whole:>10.4f}{far:>10.4f}')


def main(argv: list[str] | None = None) -> int:
    return run(compare, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
