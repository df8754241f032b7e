#!/usr/bin/env bash
# Proposes a network in the MobileNet-like space: sota/mobilenet/networks_proposal.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module sota.mobilenet.networks_proposal "$@"
