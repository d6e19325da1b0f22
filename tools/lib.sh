# Shared by the shell scripts of this folder; sourced, never run.
# Sets ROOT (the checkout) and VENV (its environment) and shuts out other environments.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv

# An active environment or a PYTHONPATH would put other packages before those of .venv; the UV_ and
# PIP_ ones would send the installers to another target.
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV
unset UV_PYTHON UV_SYSTEM_PYTHON UV_PROJECT_ENVIRONMENT UV_OVERRIDE UV_CONSTRAINT
unset PIP_TARGET PIP_PREFIX PIP_CONSTRAINT PIP_REQUIREMENT
# without bytecode each of the many interpreters started here would compile PyTorch's sources anew
unset PYTHONDONTWRITEBYTECODE
export PIP_USER=0 PYTHONNOUSERSITE=1

say() { printf '%s\n' "${0##*/}: $*"; }

die() {
    printf '%s\n' "${0##*/}: error: $*" >&2
    exit 1
}
