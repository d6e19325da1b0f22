"""Test a detector (mmdet) or a segmentor (mmseg); the config's default_scope decides which.

    python tools/test.py CONFIG CHECKPOINT [--out FILE.pkl or FOLDER] [--show-dir FOLDER]

The metrics are printed and saved as json in the work dir, in a folder named after the time.
"""

import argparse
import sys

import mmplugin  # noqa: F401  (mends the frameworks; before they are imported)
from mmplugin.cli import run
from mmplugin.cli.allow import add_allow_argument, allowing
from mmplugin.cli.checkpoint import require_file
from mmplugin.cli.compiling import add_compile_argument, compile_network
from mmplugin.cli.config import add_config_arguments, add_run_arguments, load_config, settle_run
from mmplugin.cli.data import check_data
from mmplugin.cli.deploy import deploy_once_loaded
from mmplugin.cli.launch import fit_to_machine, leave_group
from mmplugin.cli.outputs import draw_predictions, keep_predictions
from mmplugin.cli.own_data import add_own_data_arguments, use_own_data
from mmplugin.cli.runner import build_runner
from mmplugin.cli.tta import augment_test


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file or URL, of the same model')
    add_run_arguments(parser)
    add_allow_argument(parser)
    add_own_data_arguments(parser)
    add_compile_argument(parser)
    parser.add_argument(
        '--out',
        help='keep the predictions: for a detector a FILE.pkl, a list with one dict an image; for '
        'a segmentor a FOLDER, one PNG of labels an image. Written when the test is over',
    )
    parser.add_argument('--show', action='store_true', help='show each picture in a window')
    parser.add_argument(
        '--show-dir',
        metavar='FOLDER',
        help='save each picture with its prediction drawn; a segmentor uses vis_data/vis_image '
        'inside it',
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds a --show window stays. Default: 2'
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation by tta_model and tta_pipeline of the config; a detector '
        'without them uses flipping, and cannot have masks',
    )
    parser.add_argument(
        '--deploy',
        action='store_true',
        help="test the backbone's inference form, into which it is rewritten once the checkpoint "
        'is loaded; same results but for rounding',
    )
    parser.add_argument(
        '--no-strict',
        action='store_true',
        help='accept a checkpoint with tensors that are missing, unexpected or of another shape',
    )
    return parser


def test(args: argparse.Namespace) -> None:
    facts: list[str] = []
    cfg = load_config(args, lambda cfg: facts.extend(use_own_data(cfg, args, 'test')))
    settle_run(cfg, args)
    require_file(args.checkpoint)
    check_data(cfg, 'test')
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.show or args.show_dir:
        draw_predictions(cfg, args)
    notes = augment_test(cfg) if args.tta else []
    notes += fit_to_machine(cfg)
    with keep_predictions(cfg, args.out), allowing(args.allow_globals):
        runner = build_runner(cfg, notes, exact=not args.no_strict, facts=facts)
        if args.deploy:
            deploy_once_loaded(runner)
        compile_network(runner, args.compile)
        runner.test()
    leave_group()


def main(argv: list[str] | None = None) -> int:
    return run(test, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
