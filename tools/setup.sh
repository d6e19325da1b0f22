#!/usr/bin/env bash
# Make .venv in the checkout: the locked packages and this project, editable. Needs python3 and bash.
#
#   bash tools/setup.sh                      # quick when nothing changed
#   PYTHON=python3.12 bash tools/setup.sh    # with this interpreter
#
# An interrupted run is noticed and made good by the next one. Nothing outside the checkout is
# touched, the package caches of pip and uv excepted.
set -euo pipefail

# PYTHON may be relative to where the caller stands
case ${PYTHON:-} in
    '' | /*) ;;
    */*) PYTHON=$PWD/$PYTHON ;;
esac

# shellcheck source=tools/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tools/find_python.sh
. "$ROOT/tools/find_python.sh"
cd "$ROOT"

NEEDED_KB=$((6 * 1024 * 1024)) # PyTorch with its CUDA libraries is most of it
LOCK=requirements/lock.txt
LOG=$VENV/setup.log
MARKER=$VENV/setup-state # three lines: installing or ready; ROOT; the inputs' checksum

# --- what is there -----------------------------------------------------------------------------

inputs_checksum() {
    cat $LOCK setup.py pyproject.toml mmplugin/__init__.py tools/setup.sh | cksum
}

state() { { sed -n "$1p" "$MARKER"; } 2>/dev/null || true; }

mark() { printf '%s\n' "$1" "$ROOT" "$2" >"$MARKER"; }

# A finished environment of this checkout whose Python runs and is the one asked for.
is_usable() {
    local version
    [ "$(state 1)" = ready ] && [ "$(state 2)" = "$ROOT" ] || return 1
    version=$(version_of "$VENV/bin/python") && is_supported "$version" || return 1
    [ -z "${PYTHON:-}" ] || [ "$version" = "$(version_of "$PYTHON")" ]
}

is_current() { [ "$(state 3)" = "$(inputs_checksum)" ] && [ -e mmplugin/.mim/configs ]; }

# --- doing it ----------------------------------------------------------------------------------

# Run a command with its output in the log; say every ten seconds that it still runs.
logged() {
    local what=$1 pid started=$SECONDS
    shift
    say "$what"
    "$@" >>"$LOG" 2>&1 &
    pid=$!
    # without this, Ctrl-C would leave the installer running: bash starts it deaf to it
    trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        [ $((SECONDS - started)) -lt 10 ] || { started=$SECONDS && say "  ... $SECONDS s"; }
    done
    trap - INT TERM
    wait "$pid" || explain "$what"
}

# The cause of a failed installer, in one line.
explain() {
    local cause="$1 failed"
    if grep -qiE 'no space left|os error 28' "$LOG"; then
        cause='the disk is full (the package cache may lie on another one than the checkout)'
    elif grep -qiE 'connection|connect error|network|dns|proxy|timed out|resolve host|certificate' "$LOG"; then
        cause='cannot reach the package index: check the network, a proxy, or the index that pip or uv is set to'
    fi
    die "$cause; the installer's own words are in $LOG"
}

check_disk() {
    local free
    free=$(df -Pk "$ROOT" | awk 'NR == 2 { print $4 }') || return 0
    [ "$free" -ge "$NEEDED_KB" ] || die "$((free / 1024)) MB free in $ROOT, and the environment" \
        "needs $((NEEDED_KB / 1024)) MB: free some, or move the checkout to another disk"
}

# uv does not read pip's settings: hand it the index that pip is set to use.
adopt_pip_index() {
    local settings
    [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}${UV_INDEX:-}${UV_EXTRA_INDEX_URL:-}" ] || return 0
    settings=$("${pip[@]}" config list 2>/dev/null) || return 0
    pip_setting() {
        local section
        for section in ':env:' install global; do
            sed -n "s/^$section\.$1='\(.*\)'\$/\1/p" <<<"$settings"
        done | head -n 1
    }
    export_found() { [ -z "$2" ] || export "$1=$2"; }
    export_found UV_DEFAULT_INDEX "$(pip_setting index-url)"
    export_found UV_EXTRA_INDEX_URL "$(pip_setting extra-index-url)"
    export_found SSL_CERT_FILE "${SSL_CERT_FILE:-$(pip_setting cert)}"
    # pip takes the best version of all indexes, uv by default the first index that knows the name
    export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}
}

make_environment() {
    local how
    find_python
    check_disk
    mark installing -
    find "$VENV" -mindepth 1 -maxdepth 1 ! -name setup-state ! -name setup-lock -exec rm -rf {} +
    : >"$LOG"
    pip=("$VENV/bin/python" -m pip)
    how=("$python" -m venv "$VENV")
    case $maker in
        virtualenv) how=("$python" -m virtualenv "$VENV") ;;
        pip)
            how=("$python" -m venv --without-pip "$VENV")
            pip=("$python" -m pip --python "$VENV/bin/python")
            ;;
    esac
    logged "making .venv with Python $version" "${how[@]}"
    logged 'installing uv' "${pip[@]}" install --retries 2 --constraint $LOCK uv
    adopt_pip_index
}

install_packages() {
    local uv=("$VENV/bin/uv" pip install --python "$VENV/bin/python" --no-deps)
    logged 'installing the locked packages (the first time, a download of some GB)' \
        "${uv[@]}" --requirement $LOCK
    logged 'installing mmplugin, editable' "${uv[@]}" --no-build-isolation --editable .
}

[ -e "$MARKER" ] || [ ! -e "$VENV/bin" ] || die "$VENV was made by something else:" \
    'rename or remove it, then run this again'
mkdir -p "$VENV"
if command -v flock >/dev/null; then
    exec 9>"$VENV/setup-lock"
    flock -n 9 || { say 'waiting for another set-up of this checkout' && flock 9; }
fi

if is_usable && is_current; then
    say ".venv is ready"
    exit 0
fi
checksum=$(inputs_checksum)
if is_usable; then
    say 'the locked packages or the project changed: updating .venv'
    mark installing -
    : >"$LOG"
    pip=("$VENV/bin/python" -m pip)
    adopt_pip_index
else
    [ "$(state 1)" != installing ] || say 'the last set-up did not finish: starting afresh'
    make_environment
fi
install_packages
report=$("$VENV/bin/python" -m mmplugin doctor 2>&1) ||
    die "the environment is made, but the doctor is not content with it:"$'\n'"$report"
say "doctor: ${report##*$'\n'}"
mark ready "$checksum"
say ".venv is ready ($SECONDS s)"
