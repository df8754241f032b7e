#!/usr/bin/env bash
# Runs an example of searching a network of one's own, from any folder: bash exp_scripts/example.sh NAME
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

names="$(cd "$PROJECT_ROOT/exp_scripts/examples" && printf '%s\n' *.py | sed 's/\.py$//' | paste -sd' ')"
[[ $# == 1 && " $names " == *" $1 "* ]] || stop 2 "an example of exp_scripts/examples must be named: one of $names"
find_python
run_module "exp_scripts.examples.$1"
