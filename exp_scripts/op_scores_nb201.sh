#!/usr/bin/env bash
# Scores NAS-Bench-201's operations by zero-cost proxies: nasbench201/op_scores.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module nasbench201.op_scores "$@"
