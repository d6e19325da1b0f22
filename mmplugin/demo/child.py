"""Running a tool as a child process: everything into a log, progress onto the screen."""

import re
import subprocess
import sys
import time
from pathlib import Path

SHOWN = re.compile(r'(eta|loss|mIoU|coco/(bbox|segm)_mAP): ')


class ChildFailed(Exception):
    """A child process ended with an error; the text names its log and its last words."""


def run_child(command: list[str], log: Path, env: dict[str, str]) -> float:
    """Run a command to its end.

    Of the output, only mmengine's progress lines are shown while it runs.

    Args:
        command: Program and arguments.
        log: File for the whole output; replaced.
        env: Environment of the child.

    Returns:
        Seconds it took.

    Raises:
        ChildFailed: When it ends with a code other than 0.
    """
    start = time.monotonic()
    tail: list[str] = []
    with (
        open(log, 'w', encoding='utf-8') as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
        ) as child,
    ):
        for line in child.stdout:
            file.write(line)
            tail = [*tail[-19:], line]
            if progress := progress_of(line):
                sys.stdout.write(f'  {progress}\n')
                sys.stdout.flush()
    if child.returncode:
        words = next((line for line in reversed(tail) if line.startswith('error: ')), ''.join(tail))
        raise ChildFailed(
            f'{" ".join(command)} ended with code {child.returncode} (log: {log}): {words.strip()}'
        )
    return time.monotonic() - start


def progress_of(line: str) -> str | None:
    """What to show of one of mmengine's progress lines (``Epoch(...)``, ``Iter(...)``).

    Place, time left, loss and the main metrics; None for any other line.
    """
    _, found, rest = line.rstrip().partition(' - INFO - ')
    if not found or not rest.startswith(('Epoch(', 'Iter(')):
        return None
    place, *fields = re.split(r'  +(?=[\w./]+: )', rest)
    shown = [field for field in fields if SHOWN.match(field)]
    return '  '.join([re.sub(' +', ' ', place), *shown])
