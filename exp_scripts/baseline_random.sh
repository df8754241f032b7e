#!/usr/bin/env bash
# Draws random architectures of a space and validates them: foresight_ext/commands/baseline.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module foresight_ext.commands.baseline random "$@"
