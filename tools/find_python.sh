# Finds the Python that .venv is made with; sourced by setup.sh, never run. Wants die and PYTHON.

VERSIONS='3.10 3.11 3.12 3.13' # those requirements/lock.txt has markers for

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

is_supported() { case " $VERSIONS " in *" $1 "*) ;; *) return 1 ;; esac; }

# How $1 can make an environment: 'venv'; where a distribution ships Python without ensurepip,
# 'virtualenv' or 'pip', which need no root; or nothing.
maker_of() {
    if "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        echo venv
    elif "$1" -c 'import virtualenv' 2>/dev/null; then
        echo virtualenv
    elif "$1" -c 'import pip, venv; assert int(pip.__version__.split(".")[0]) >= 23' 2>/dev/null; then
        echo pip
    fi
}

# Sets python, version and maker: PYTHON alone where it is set, else the first that will do. Ends
# with the reason where there is none.
find_python() {
    local candidate found='' bare='' candidates=(python3 python3.13 python3.12 python3.11 python3.10)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        version=$(version_of "$candidate") || continue
        if ! is_supported "$version"; then
            found=${found:-$candidate is Python $version}
            continue
        fi
        python=$candidate
        maker=$(maker_of "$python")
        [ -z "$maker" ] || return 0
        bare=${bare:-$version}
    done
    [ -z "$bare" ] || die "Python $bare here cannot make environments (no ensurepip):" \
        "run 'apt install python$bare-venv' as root, or, without root, name another Python:" \
        "PYTHON=/path/to/python3 bash tools/setup.sh"
    [ -z "$found" ] || die "$found, and the locked packages are for Python ${VERSIONS// /, }:" \
        "install one of these, or name it: PYTHON=/path/to/python3.12 bash tools/setup.sh"
    [ -z "${PYTHON:-}" ] || die "PYTHON=$PYTHON is no Python that runs"
    die "no python3 found: install Python (one of ${VERSIONS// /, })," \
        "or name it: PYTHON=/path/to/python3 bash tools/setup.sh"
}
