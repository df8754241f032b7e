#!/usr/bin/env bash
# Sets everything up, then searches on embedded data and trains what was found: bash exp_scripts/demo.sh [OPTIONS]
# The entry point, the search space and the method are the real ones; options are passed on to it.
set -euo pipefail
# shellcheck source=exp_scripts/environment.sh disable=SC1091
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

set_up_environment ""
cat <<END
Zero-Cost-PT on NAS-Bench-201: search, validation and training on scikit-learn's handwritten digits.
Smaller than the defaults, to end within three minutes on a CPU:
  --batch_size 64 (256)  --validate_rounds 20 (100)  --init_channels 8 (16)  --cells 3 (5)
  --epochs 5 (200)  --train_batch_size 32 (256)
END
run_module nasbench201.networks_proposal --dataset digits --save demo --no_skip_training \
    --pool_size 10 --batch_size 64 --validate_rounds 20 --init_channels 8 --cells 3 \
    --epochs 5 --train_batch_size 32 "$@"
