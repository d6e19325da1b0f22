#!/usr/bin/env bash
# The demonstration from nothing: make .venv, generate data, train, evaluate, draw.
# Arguments go on to tools/demo.py:
#
#   bash tools/demo.sh
#   bash tools/demo.sh --parts semantic --out /tmp/demo
set -euo pipefail

# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bash "$ROOT/tools/setup.sh"
exec "$VENV/bin/python" "$ROOT/tools/demo.py" "$@"
