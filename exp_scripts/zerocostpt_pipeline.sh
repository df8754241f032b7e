#!/usr/bin/env bash
# Searches a network of your own, or any space, and trains the winner: foresight_ext/__main__.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
# modules of your own may lie where you stand
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$PWD"
run_module foresight_ext "$@"
