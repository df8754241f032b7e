# Shared by the project's scripts: where the project is, which Python to use, how to start a module.
# Sourced, never run. Variables a user may set: PYTHON (the interpreter that .venv is made with),
# MIN_FREE_GB (disk space to ask for before torch is installed) and pip's own, such as PIP_INDEX_URL.
# shellcheck shell=bash
set -euo pipefail

PROJECT_ROOT="$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")"

# stop CODE MESSAGE: one line to the user, then the end.
stop() {
    echo "error: $2" >&2
    exit "$1"
}

# python_version PYTHON: prints e.g. 3.11; fails if PYTHON does not start.
python_version() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# new_enough VERSION
new_enough() {
    local major="${1%%.*}" minor="${1#*.}"
    ((major > 3 || (major == 3 && minor >= 10)))
}

# has_torch PYTHON: looks torch up without the slow import.
has_torch() {
    "$1" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' 2>/dev/null
}

# active_environment: prints the folder of the virtual or conda environment in use; fails if there is none.
active_environment() {
    local dir
    for dir in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}"; do
        if [[ -n "$dir" && -x "$dir/bin/python" ]]; then
            echo "$dir"
            return 0
        fi
    done
    return 1
}

# create_venv DIR: makes DIR with the first Python that is new enough.
create_venv() {
    local python version output found=""
    for python in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 python; do
        version="$([[ -z "$python" ]] || python_version "$python")" || continue
        [[ -n "$version" ]] || continue
        new_enough "$version" && break
        found="${found:-Python $version ($python)}"
        version=""
    done
    [[ -n "$version" ]] ||
        stop 1 "Python 3.10 or newer is needed, found ${found:-none}: install one, or set PYTHON=/path/to/it"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        stop 1 "Python $version ($python) cannot make a virtual environment (no venv or ensurepip):\
 on Debian or Ubuntu install the package python3-venv (or python$version-venv)"
    echo "Creating ${1##*/} with Python $version ($python)"
    output="$("$python" -m venv --clear "$1" 2>&1)" || stop 1 "could not create $1: ${output##*$'\n'}"
}

# check_disk DIR: stops if too little is free there for torch.
check_disk() {
    local needed="${MIN_FREE_GB:-8}" free
    free="$(df -Pk "$1" | { read -r _ && read -r _ _ _ free _ && echo "$free"; })" || return 0
    ((free >= needed * 1024 * 1024)) ||
        stop 1 "$((free / 1024 / 1024)) GB of disk free in $1, $needed GB needed to install torch:\
 free some space (or, for a CPU-only torch, set MIN_FREE_GB=3)"
}

# show_progress: of pip's lines on stdin, shows the large downloads and the start of the unpacking.
show_progress() {
    local line
    while IFS= read -r line; do
        case "$line" in
            *" Downloading "*[0-9][0-9][0-9].[0-9]" MB)" | *" Downloading "*" GB)")
                echo "  Downloading ${line##* Downloading }"
                ;;
            "Installing collected packages"*)
                echo "  Unpacking (a minute or two)"
                ;;
        esac
    done
}

# stop_for_pip LOG: says in one line why pip failed.
stop_for_pip() {
    local reason
    if grep -q 'No space left on device' "$1"; then
        reason="the disk ran full during the install (downloads go through ${TMPDIR:-/tmp} and pip's cache)"
    elif grep -qE -e 'Could not find a version|No matching distribution|Failed to establish a new connection' \
        -e 'Temporary failure in name resolution|ConnectionPool|ProxyError|[Tt]imed out' "$1"; then
        reason="pip cannot reach the package index, or finds no fitting package there: check the network,\
 the proxy and PIP_INDEX_URL"
    else
        reason="pip failed: $(grep -m 1 -i '^ *error' "$1" || tail -n 1 "$1")"
    fi
    stop 1 "$reason (pip's output: $1)"
}

# stamp_lines PYTHON FILE...: prints what the stamp of a finished installation of the FILEs says.
stamp_lines() {
    local version file
    version="$(python_version "$1")"
    for file in "${@:2}"; do
        echo "$version $(cksum <"$file") ${file##"$PROJECT_ROOT"/}"
    done
}

# set_up_environment [EXTRA_REQUIREMENTS_FILE]: installs requirements.txt and the extra file (a path from
# the project's root) into the active environment or else PROJECT_ROOT/.venv; exports PYTHON_BIN.
# Does nothing when they are installed already, which a stamp file in the environment tells.
set_up_environment() {
    local dir version wanted stamp large="" names log files=("$PROJECT_ROOT/requirements.txt")
    if [[ -n "${1:-}" ]]; then
        files+=("$PROJECT_ROOT/${1#"$PROJECT_ROOT"/}")
    fi
    dir="$(active_environment)" || dir="$PROJECT_ROOT/.venv"
    stamp="$dir/.zero-cost-pt-installed"
    export PYTHON_BIN="$dir/bin/python"

    if version="$(python_version "$PYTHON_BIN")"; then
        new_enough "$version" ||
            stop 1 "Python 3.10 or newer is needed, $dir has Python $version:\
 deactivate or delete that environment"
        wanted="$(stamp_lines "$PYTHON_BIN" "${files[@]}")"
        if [[ -f "$stamp" ]] && ! grep -qvxFf "$stamp" <<<"$wanted"; then
            return 0
        fi
    fi
    if ! has_torch "$PYTHON_BIN"; then
        large=" (torch is large: several GB on Linux; this happens once)"
        if [[ -d "$dir" ]]; then check_disk "$dir"; else check_disk "$PROJECT_ROOT"; fi
    fi
    [[ -n "$version" ]] || create_venv "$dir"
    # pip is missing after an interrupted creation and in environments made by uv.
    "$PYTHON_BIN" -m pip --version >/dev/null 2>&1 || "$PYTHON_BIN" -m ensurepip >/dev/null 2>&1 ||
        stop 1 "no pip in $dir, and ensurepip cannot add it:\
 on Debian or Ubuntu install the package python3-venv"

    names="${files[*]##"$PROJECT_ROOT"/}"
    echo "Installing ${names// / and } into $dir$large"
    log="$dir/pip-install.log"
    [[ -w "$dir" ]] || log="$(mktemp)"
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_RETRIES="${PIP_RETRIES:-2}" \
        PIP_DEFAULT_TIMEOUT="${PIP_DEFAULT_TIMEOUT:-${PIP_TIMEOUT:-30}}" \
        "$PYTHON_BIN" -m pip install "${files[@]/#/--requirement=}" 2>&1 |
        tee "$log" | show_progress || stop_for_pip "$log"
    [[ ! -w "$dir" ]] || stamp_lines "$PYTHON_BIN" "${files[@]}" >"$stamp"
}

# find_python: sets PYTHON_BIN to the Python to run the project with, which must have torch.
find_python() {
    local dir
    if dir="$(active_environment)"; then
        PYTHON_BIN="$dir/bin/python"
    elif [[ -x "$PROJECT_ROOT/.venv/bin/python" ]]; then
        PYTHON_BIN="$PROJECT_ROOT/.venv/bin/python"
    else
        PYTHON_BIN="$(type -P python3)" ||
            stop 2 "no python3 found; 'bash exp_scripts/demo.sh' sets everything up"
    fi
    has_torch "$PYTHON_BIN" ||
        stop 2 "torch is not installed for $PYTHON_BIN; 'bash exp_scripts/demo.sh' sets everything up"
}

# run_module MODULE ARGS...: the shell BECOMES the Python program (same exit code, signals reach it), in the
# caller's folder. A script with something left to do afterwards calls it in a subshell: (run_module ...).
# PYTHONSAFEPATH keeps modules of the same name in the caller's folder from being run instead (Python 3.11+).
run_module() {
    # PyTorch's threads spin while they wait: on a busy machine for too long, unless the user has said how long
    [[ -n "${GOMP_SPINCOUNT:-}${OMP_WAIT_POLICY:-}${KMP_BLOCKTIME:-}" ]] || export GOMP_SPINCOUNT=1000 KMP_BLOCKTIME=1
    exec env PYTHONPATH="$PROJECT_ROOT${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1 "$PYTHON_BIN" -m "$@"
}
