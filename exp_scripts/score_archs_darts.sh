#!/usr/bin/env bash
# Scores DARTS architectures by zero-cost proxies: sota/cnn/score_archs.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module sota.cnn.score_archs "$@"
