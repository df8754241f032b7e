#!/usr/bin/env bash
# Searches what is missing for the paper's tables on NAS-Bench-201, and prints the table: nasbench201/reproduce.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module nasbench201.reproduce "$@"
