#!/usr/bin/env bash
# Sets everything up, then runs ruff, shellcheck, mypy and pytest: bash tests/run.sh [PYTEST_ARGS...]
# Paths in the arguments start at the project's root; without arguments the whole suite runs.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../exp_scripts/environment.sh"

set_up_environment tests/requirements.txt
cd "$PROJECT_ROOT"

failed=""
# step TITLE COMMAND...: announces and runs a command; a failure is remembered, and the next step still runs.
step() {
    echo "== $1"
    "${@:2}" || failed+=" $1"
}

mapfile -t scripts < <(git ls-files '*.sh' .ci/run 2>/dev/null || true)
if ((${#scripts[@]} == 0)); then # not a checkout
    mapfile -t scripts < <(find .ci/run exp_scripts nasbench201 sota tests -name '*.sh' -o -path .ci/run)
fi

# What only reads the code runs beside the tests, some of which wait for other processes; its last line says
# what failed.
exec {readers}< <(
    exec 2>&1
    step ruff "$PYTHON_BIN" -m ruff check .
    step shellcheck "$(dirname "$PYTHON_BIN")/shellcheck" --external-sources "${scripts[@]}"
    step mypy "$PYTHON_BIN" -m mypy foresight_ext nasbench201 sota
    echo "$failed"
)
(($#)) || echo "All tests take a quarter of an hour on two cores, more on slow ones."
# a process a core, each on one thread: many small tests gain nothing from several. Each process holds
# PyTorch, so no more than a few.
step pytest env OMP_NUM_THREADS=1 "$PYTHON_BIN" -m pytest -n logical --maxprocesses 4 --dist worksteal "$@"
mapfile -t -u "$readers" told
failed="${told[-1]}$failed"
printf '%s\n' "${told[@]::${#told[@]}-1}"

if [[ -n "$failed" ]]; then
    echo "FAILED:$failed" >&2
    exit 1
fi
echo "All passed: ruff, shellcheck, mypy, pytest"
