#!/usr/bin/env bash
# Proposes a network in a DARTS space and trains it on CIFAR-10: sota/cnn/networks_proposal.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module sota.cnn.networks_proposal "$@"
