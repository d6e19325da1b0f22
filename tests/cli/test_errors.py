"""What the tools make of faults that are nobody's mistake."""

import subprocess
import sys

import pytest

PROGRAM = """
import argparse
from mmplugin.cli.errors import run

def main(args):
    {body}

raise SystemExit(run(main, argparse.ArgumentParser()))
"""


@pytest.mark.parametrize('lines', [2, 100_000], ids=['buffered', 'more than a pipe holds'])
def test_a_reader_may_leave(lines):
    body = f"sys.stdin.read()\n    for i in range({lines}): print('line', i)"
    tool = subprocess.Popen(
        [sys.executable, '-c', 'import sys\n' + PROGRAM.format(body=body)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    tool.stdout.close()
    _, faults = tool.communicate('')
    assert (tool.returncode, faults) == (0, '')


def test_a_pipe_that_broke_elsewhere_is_a_fault(tmp_path):
    tool = subprocess.run(
        [sys.executable, '-c', PROGRAM.format(body="raise BrokenPipeError('to a worker')")],
        capture_output=True,
        text=True,
        env={'TMPDIR': str(tmp_path)},
    )
    assert tool.returncode == 1
    assert 'error: ' in tool.stderr and 'to a worker' in tool.stderr
