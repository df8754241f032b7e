#!/usr/bin/env bash
# Searches what is missing for the same table on NAS-Bench-Macro, and prints the table: sota/nasbench_macro/reproduce.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module sota.nasbench_macro.reproduce "$@"
