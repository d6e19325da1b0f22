"""The words of the command line that train and test share, and the config they lead to."""

import argparse
import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from mmplugin.cli.errors import UserError
from mmplugin.cli.explain import install_hint

FRAMEWORKS = ('mmdet', 'mmseg')
READ_BESIDE_RUNNER = (
    'compile',
    'custom_imports',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
)
"""Names at the top of a config that mmengine or the tools read and Runner's arguments lack."""


class CfgOptions(argparse.Action):
    """KEY=VALUE pairs in the notation of mmengine's DictAction, imported only when used."""

    def __call__(self, parser, namespace, values, option_string=None):
        for pair in values:
            if '=' not in pair:
                parser.error(f'{option_string} takes KEY=VALUE pairs, got {pair!r}')
        from mmengine.config import DictAction

        try:
            DictAction([option_string], self.dest)(parser, namespace, values, option_string)
        except AssertionError as error:
            parser.error(f'{option_string}: {error}')


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """``config`` and ``--cfg-options``."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. train_cfg.max_epochs=1 '
        'model.backbone.out_indices="(0,1)"; lists as key="[a,b]" or key=a,b, without spaces',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of a run: ``--work-dir``, ``--launcher``, ``--local-rank``."""
    parser.add_argument(
        '--work-dir', help='where logs and results go. Default: work_dirs/<name of the config>'
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='how several processes were started; pytorch for torchrun, which also works without '
        'a GPU. Default: none',
    )
    # torch.distributed.launch passes --local-rank, and --local_rank before PyTorch 2.0
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace, adapt: Callable[..., None] | None = None):
    """Read ``args.config``, merge ``args.cfg_options`` and import the framework it is for.

    Args:
        args: parsed arguments of ``add_config_arguments``.
        adapt: changes the Config in place, before the options are merged. Default: nothing.

    Returns:
        The mmengine Config; its ``default_scope`` is one of ``FRAMEWORKS``.

    Raises:
        UserError: for a file that is missing or does not run, an option that does not fit, or a
            framework that is not installed.
    """
    if not Path(args.config).is_file():
        raise UserError(f'config file {args.config} does not exist (looked from {Path.cwd()})')
    from mmengine.config import Config

    try:
        cfg = Config.fromfile(args.config)
    except ModuleNotFoundError as error:
        package = (error.name or str(error)).split()[0].partition('.')[0]
        raise UserError(f'config {args.config} needs {package}; {install_hint(package)}') from error
    except Exception as error:  # a config is code of the user's
        raise UserError(
            f'config {args.config} cannot be read: {type(error).__name__}: {error}'
        ) from error
    if adapt is not None:
        adapt(cfg)
    if args.cfg_options:
        check_options(cfg, args.cfg_options)
        try:
            cfg.merge_from_dict(args.cfg_options)
        except (KeyError, TypeError, IndexError) as error:
            raise UserError(f'--cfg-options does not fit {args.config}: {error}') from error
    import_framework(cfg.get('default_scope'), args.config)
    return cfg


def check_options(cfg, options: Iterable[str]) -> None:
    """Look for settings that begin with a name the config lacks: mmengine would ignore them.

    One near a known name is refused; of any other there is a warning on stderr, as a config may
    well keep values of its own.

    Raises:
        UserError: for a misspelt name.
    """
    from mmengine.runner import Runner

    known = {*cfg.keys(), *inspect.signature(Runner).parameters, *READ_BESIDE_RUNNER}
    for option in options:
        first, dot, rest = option.partition('.')
        if first in known:
            continue
        if near := difflib.get_close_matches(first, known, n=1, cutoff=0.75):
            raise UserError(
                f'--cfg-options {option}: the config has no {first!r}; did you mean '
                f'{near[0]}{dot}{rest}?'
            )
        sys.stderr.write(
            f'warning: --cfg-options {option}: the config has no {first!r}, and neither mmengine '
            'nor these tools read it\n'
        )


def import_framework(scope: str | None, config: str) -> None:
    """Fill the registries of the framework that ``default_scope`` names.

    Raises:
        UserError: when it names none, or one that is not installed or does not import.
    """
    if scope not in FRAMEWORKS:
        raise UserError(
            f'config {config} has default_scope={scope!r}; it must be one of '
            f'{", ".join(map(repr, FRAMEWORKS))}'
        )
    try:
        importlib.import_module(f'{scope}.utils').register_all_modules(init_default_scope=False)
    except ModuleNotFoundError as error:
        package = (error.name or scope).partition('.')[0]
        raise UserError(
            f'config {config} is for {scope}, which needs the package {package}, and that is not '
            f'installed; {install_hint(package)}'
        ) from error
    except (ImportError, AssertionError) as error:  # mm packages assert each other's versions
        raise UserError(
            f'config {config} is for {scope}, which cannot be imported: {error}; '
            'see what is missing with `python -m mmplugin doctor`'
        ) from error


def settle_run(cfg, args: argparse.Namespace) -> None:
    """Write launcher and work dir into the config; ``args.work_dir`` becomes the one used."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    args.work_dir = cfg.work_dir
