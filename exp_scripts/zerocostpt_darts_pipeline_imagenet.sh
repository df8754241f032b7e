#!/usr/bin/env bash
# Proposes networks in a DARTS space on ImageNet: sota/cnn/networks_proposal_imagenet.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module sota.cnn.networks_proposal_imagenet "$@"
