#!/usr/bin/env bash
# Proposes networks in the NAS-Bench-Macro space: sota/nasbench_macro/networks_proposal.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module sota.nasbench_macro.networks_proposal "$@"
