"""Train a detector (mmdet) or a segmentor (mmseg); the config's default_scope decides which.

python tools/train.py CONFIG
python tools/train.py CONFIG --coco-data FOLDER    (a detector; a segmentor: --ade-data FOLDER)
torchrun --nproc_per_node 2 tools/train.py CONFIG --launcher pytorch
"""

import argparse
import sys
from pathlib import Path

import mmplugin  # noqa: F401  (mends the frameworks; before they are imported)
from mmplugin.cli import UserError, run
from mmplugin.cli.allow import add_allow_argument, allowing
from mmplugin.cli.checkpoint import require_file
from mmplugin.cli.compiling import add_compile_argument, compile_network
from mmplugin.cli.config import add_config_arguments, add_run_arguments, load_config, settle_run
from mmplugin.cli.data import check_data
from mmplugin.cli.launch import fit_precision, fit_to_machine, leave_group
from mmplugin.cli.own_data import add_own_data_arguments, use_own_data
from mmplugin.cli.runner import build_runner


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_config_arguments(parser)
    add_run_arguments(parser)
    add_allow_argument(parser)
    add_own_data_arguments(parser)
    add_compile_argument(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint, or without a name from the latest in the work dir',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision; needs a GPU or another accelerator'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by batch size / auto_scale_lr.base_batch_size of the config',
    )
    return parser


def train(args: argparse.Namespace) -> None:
    facts: list[str] = []
    cfg = load_config(args, lambda cfg: facts.extend(use_own_data(cfg, args, 'train', 'val')))
    settle_run(cfg, args)
    check_data(cfg, 'train', 'val')
    fit_precision(cfg, args.amp)
    if args.auto_scale_lr:
        switch_on_lr_scaling(cfg, args.config)
    notes = fit_to_machine(cfg)
    cfg.setdefault('runner_type', 'mmplugin.ResumableRunner')
    if args.resume is not None:
        notes += resume_from(cfg, args.resume)
    if cfg.get('load_from'):
        require_file(cfg.load_from)
    if not cfg.get('resume') and any(Path(cfg.work_dir).glob('*.pth')):
        notes.append(
            f'{cfg.work_dir} holds checkpoints of an earlier run, and those of the same name will '
            'be overwritten; --resume goes on from the latest, --work-dir writes elsewhere'
        )
    with allowing(args.allow_globals):
        runner = build_runner(cfg, notes, exact=bool(cfg.get('resume')), facts=facts)
        compile_network(runner, args.compile)
        runner.train()
    leave_group()


def resume_from(cfg, checkpoint: str) -> list[str]:
    """Let the run go on from a checkpoint, or begin where 'auto' finds none in a fresh folder.

    Returns:
        What was chosen, for the log.

    Raises:
        UserError: when there are checkpoints, but none of them is the whole one of a run.
    """
    from mmplugin.engine.latest import latest_whole

    broken = []
    if checkpoint == 'auto':
        checkpoint, broken = latest_whole(cfg.work_dir)
    notes = [f'--resume: {path} is missing or not whole, and is passed over' for path in broken]
    if checkpoint is not None:
        cfg.resume, cfg.load_from = True, checkpoint
        return notes
    if any(Path(cfg.work_dir).glob('*.pth')):
        raise UserError(
            f'--resume: {cfg.work_dir} holds checkpoints, but no file last_checkpoint that names '
            'a whole one, and no whole epoch_*.pth or iter_*.pth; name one: --resume CHECKPOINT'
        )
    cfg.resume = False
    return [*notes, f'--resume: no checkpoint in {cfg.work_dir}, so the run begins']


def switch_on_lr_scaling(cfg, config: str) -> None:
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise UserError(
            f'--auto-scale-lr: {config} has no auto_scale_lr.base_batch_size; add it with '
            '--cfg-options auto_scale_lr.base_batch_size=N, the batch size its lr was chosen for'
        )
    cfg.auto_scale_lr.enable = True


def main(argv: list[str] | None = None) -> int:
    return run(train, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
