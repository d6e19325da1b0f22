#!/usr/bin/env bash
# Make or refresh .venv, then run the tests. Arguments go on to pytest:
#
#   bash tools/run_tests.sh
#   bash tools/run_tests.sh -m slow
#   bash tools/run_tests.sh tests/backbones -k s12
#
# Several processes share the test files; "-n 0" runs all in one, as a debugger needs it.
# The tests of real pictures read the folder named by MMPLUGIN_REAL_DATA and are skipped without it.
set -euo pipefail

# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bash "$ROOT/tools/setup.sh"
cd "$ROOT"
# one thread a process: the tensors are small
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$VENV/bin/python" -m pytest -n auto --maxprocesses 4 --dist loadfile "$@"
