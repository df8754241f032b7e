#!/usr/bin/env bash
# Trains a reported DARTS architecture on ImageNet: sota/cnn/train_imagenet.py with the options given, such as --arch NAME.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

find_python
run_module sota.cnn.train_imagenet "$@"
