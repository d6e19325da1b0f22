"""``python -m mmplugin``: look at the environment, and prepare it for tools not our own."""

import argparse
import sys

from mmplugin import __version__
from mmplugin.compat import doctor, pth


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words of the command line. Default: those of this process.

    Returns:
        The exit code.
    """
    args = _parser().parse_args(argv)
    if args.command == 'doctor':
        return doctor.report(print)
    try:
        return _compat(args.action)
    except (OSError, RuntimeError) as error:
        print(f'mmplugin: {error}', file=sys.stderr)
        return 1


def _compat(action: str) -> int:
    if action == 'install':
        print(f'on: {pth.install()}')
    elif action == 'uninstall':
        removed = pth.uninstall()
        print(f'off: {pth.path()} {"removed" if removed else "was not there"}')
    else:
        print(f'{"on" if pth.is_installed() else "off"}: {pth.path()}')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m mmplugin', description=__doc__)
    parser.add_argument('--version', action='version', version=f'mmplugin {__version__}')
    commands = parser.add_subparsers(dest='command', required=True, metavar='command')
    commands.add_parser('doctor', help='say what is installed, what is missing and how to mend it')
    compat = commands.add_parser(
        'compat',
        help='let the stock tools of mmdet and mmseg run without a compiled mmcv',
        description='One line in site-packages makes every Python of this environment import '
        'mmplugin when it starts.',
    )
    compat.add_argument('action', choices=('install', 'uninstall', 'status'))
    return parser


if __name__ == '__main__':
    sys.exit(main())
