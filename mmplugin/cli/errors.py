"""One line for the user; the whole traceback for whoever has to find the cause."""

import argparse
import os
import select
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from mmplugin.cli.explain import explain


class UserError(Exception):
    """A mistake the user can mend. The text is one line: what, where, and how to mend it."""


def run(
    main: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the command line, run ``main`` and turn what goes wrong into an exit code.

    A fault the user can mend ends in one line ``error: ...`` on stderr. Any other fault, such as
    one inside a training step, prints its traceback first. Either way the traceback is kept in a
    file whose path the line names: in ``args.work_dir`` when that folder exists, else in the
    temporary folder. ``--traceback``, added here, raises the exception as it is.

    Args:
        main: called with the parsed arguments.
        parser: of the tool.
        argv: arguments without the program's name. Default: those of the process.

    Returns:
        0, also where the reader of the output has left (``| head``), or 1 after a fault, or 130
        after an interrupt from the keyboard. Wrong usage leaves with 2, as argparse does.
    """
    parser.add_argument(
        '--traceback', action='store_true', help='show the whole traceback of a fault'
    )
    args = parser.parse_args(argv)
    try:
        main(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write('interrupted\n')
        return 130
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_has_left():
            return 0
        if args.traceback:
            raise
        report(error, getattr(args, 'work_dir', None))
        return 1
    return 0


def reader_has_left() -> bool:
    """Whether nobody reads stdout any more; what is still to come is then thrown away."""
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)
    left = any(event & select.POLLERR for _, event in watch.poll(0))
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return left


def report(error: Exception, work_dir: str | None) -> None:
    """Write the fault to stderr, and its traceback to a file."""
    trace = ''.join(traceback.format_exception(error))
    mistake = isinstance(error, UserError)
    line = str(error) if mistake else explain(error)
    if line is None:
        sys.stderr.write(trace)
        line = f'{type(error).__name__}: {error}'
    if not mistake or error.__cause__ is not None:
        line += f' (traceback: {keep(trace, work_dir)})'
    rank = int(os.environ.get('RANK', 0))
    sys.stderr.write(f'error{f" on rank {rank}" if rank else ""}: {" ".join(line.split())}\n')


def keep(trace: str, work_dir: str | None) -> str:
    """Save the traceback and return the path, or why there is none."""
    folders = [Path(tempfile.gettempdir())]
    if work_dir is not None and Path(work_dir).is_dir():
        folders.insert(0, Path(work_dir))
    for folder in folders:
        path = folder / f'error_{time.strftime("%Y%m%d_%H%M%S")}_{os.getpid()}.log'
        try:
            path.write_text(trace, encoding='utf-8')
        except OSError:
            continue
        return str(path)
    return 'nowhere to write it; see it with --traceback'
