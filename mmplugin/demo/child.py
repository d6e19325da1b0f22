"""Running a tool as a child process: everything into a log, progress onto the screen."""

import subprocess
import sys
import time
from pathlib import Path


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
    """mmengine's progress lines, ``Epoch(...)`` and ``Iter(...)``, without the log's header."""
    _, found, rest = line.rstrip().partition(' - INFO - ')
    return rest if found and rest.startswith(('Epoch(', 'Iter(')) else None
