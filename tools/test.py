"""Test a detector (mmdet) or a segmentor (mmseg); the config's default_scope decides which.

    python tools/test.py CONFIG CHECKPOINT [--out FILE.pkl or FOLDER] [--show-dir FOLDER]
    python tools/test.py CONFIG --detections FILE.json

The metrics are printed and saved as json in the work dir, in a folder named after the time. There a
detector evaluated on COCO also leaves detections/coco.bbox.json (and .segm.json), in the format
of COCO's server, and coco.classes.json, the figures of each class.
"""

import argparse
import sys

import mmplugin  # noqa: F401  (mends the frameworks; before they are imported)
from mmplugin.cli import run
from mmplugin.cli.allow import add_allow_argument, allowing
from mmplugin.cli.checkpoint import require_file
from mmplugin.cli.coco import keep_detections, use_coco_figures
from mmplugin.cli.compiling import add_compile_argument, compile_network
from mmplugin.cli.config import add_config_arguments, add_run_arguments, load_config, settle_run
from mmplugin.cli.data import check_data
from mmplugin.cli.deploy import deploy_once_loaded
from mmplugin.cli.detections import evaluate_detections
from mmplugin.cli.errors import UserError
from mmplugin.cli.launch import fit_to_machine, leave_group
from mmplugin.cli.outputs import draw_predictions, keep_predictions
from mmplugin.cli.own_data import add_own_data_arguments, use_own_data
from mmplugin.cli.runner import build_runner
from mmplugin.cli.tta import augment_test

WITH_A_MODEL = ('out', 'show', 'show_dir', 'tta', 'deploy', 'compile', 'no_strict', 'allow_globals')
"""Options that say how a model is tested."""


class Parser(argparse.ArgumentParser):
    """Lets a checkpoint that may be left out come after options, too."""

    def parse_args(self, args=None, namespace=None):
        return self.parse_intermixed_args(args, namespace)


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file or URL, of the same model')
    parser.add_argument(
        '--detections',
        metavar='FILE.json',
        help="evaluate these detections, in COCO's result format, in place of a model: boxes, "
        'masks or both, whatever the file has. Needs no images',
    )
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


def check_choice(args: argparse.Namespace) -> None:
    """Demand a checkpoint or detections, and of the options those that go with it.

    Raises:
        UserError: for both, neither, or an option about the model without a model.
    """
    if (args.checkpoint is None) == (args.detections is None):
        given = 'neither' if args.checkpoint is None else 'both'
        raise UserError(f'give a CHECKPOINT or --detections FILE.json, got {given}')
    if args.detections is None:
        return
    wrong = [f'--{name.replace("_", "-")}' for name in WITH_A_MODEL if getattr(args, name)]
    if args.launcher != 'none':
        wrong.append('--launcher')
    if wrong:
        raise UserError(f'{wrong[0]} goes with a model, and --detections evaluates without one')


def test(args: argparse.Namespace) -> None:
    check_choice(args)
    facts: list[str] = []
    cfg = load_config(args, lambda cfg: facts.extend(use_own_data(cfg, args, 'test')))
    settle_run(cfg, args)
    use_coco_figures(cfg)
    if args.detections is not None:
        evaluate_detections(cfg, args.detections)
        return
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
        keep_detections(runner)
        runner.test()
    leave_group()


def main(argv: list[str] | None = None) -> int:
    return run(test, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
