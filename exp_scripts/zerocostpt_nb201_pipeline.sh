#!/usr/bin/env bash
# Proposes networks in the NAS-Bench-201 space: nasbench201/networks_proposal.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module nasbench201.networks_proposal "$@"
