#!/usr/bin/env bash
# Searches what is missing for the published architectures of the DARTS spaces from their seeds, and prints the table: sota/cnn/reproduce.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module sota.cnn.reproduce "$@"
