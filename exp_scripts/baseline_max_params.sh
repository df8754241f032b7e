#!/usr/bin/env bash
# Finds the architecture of the most parameters in a space: foresight_ext/commands/baseline.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module foresight_ext.commands.baseline max_params "$@"
