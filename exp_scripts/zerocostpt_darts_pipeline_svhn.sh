#!/usr/bin/env bash
# Proposes a network in a DARTS space and trains it on SVHN: sota/cnn/networks_proposal.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module sota.cnn.networks_proposal --dataset svhn --init_channels 16 --layers 8 "$@"
