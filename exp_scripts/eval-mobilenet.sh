#!/usr/bin/env bash
# Trains an architecture of the MobileNet-like space on ImageNet: sota/mobilenet/train.py with the options given.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module sota.mobilenet.train --dataset imagenet "$@"
