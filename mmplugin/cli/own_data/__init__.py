"""A data set of the user's own in place of the config's: found, checked, described, set in."""

import argparse

from mmplugin.cli.errors import UserError
from mmplugin.cli.own_data.ade import use_ade_data
from mmplugin.cli.own_data.coco import use_coco_data


def add_own_data_arguments(parser: argparse.ArgumentParser) -> None:
    """``--coco-data``, ``--ade-data`` and ``--no-reduce-zero-label``."""
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        '--coco-data',
        metavar='FOLDER',
        help="a detector's data in COCO's format in place of the config's: files are found, "
        'classes read, and the sizes of the heads set; see docs/own_data.md',
    )
    kinds.add_argument(
        '--ade-data',
        metavar='FOLDER',
        help="a segmentor's images and masks in ADE20K's layout in place of the config's",
    )
    parser.add_argument(
        '--no-reduce-zero-label',
        action='store_true',
        help='with --ade-data: label 0 of the masks is a class. Default: 0 is no class and is '
        'ignored, as in ADE20K',
    )


def use_own_data(cfg, args: argparse.Namespace, *splits: str) -> list[str]:
    """Set the user's data into a config, if the command line names any.

    Args:
        cfg: mmengine Config as read from its file; changed in place.
        args: parsed arguments of ``add_own_data_arguments``.
        splits: of ``'train'``, ``'val'``, ``'test'``: those the run needs.

    Returns:
        Lines that describe the data, for the log; empty without own data.

    Raises:
        UserError: when the data or the config do not serve.
    """
    if args.no_reduce_zero_label and not args.ade_data:
        raise UserError('--no-reduce-zero-label goes with --ade-data')
    if args.coco_data:
        return use_coco_data(cfg, args.coco_data, splits)
    if args.ade_data:
        return use_ade_data(cfg, args.ade_data, splits, not args.no_reduce_zero_label)
    return []
