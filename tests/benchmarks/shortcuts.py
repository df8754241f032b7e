"""How much faster proxies score operations with what changes no bit of their scores than without.

python -m tests.benchmarks.shortcuts --of pooling|passes [--metrics NAME[,NAME...]]
[--space nas-bench-201|s1|...|s6] [--batch_size 32] [--threads 1], from the project's root. Pooling: layers
that compute channels-last. Passes: one pass over a network that parts of a proxy share. Each proxy scores all
candidates of the first edge of the space's default supernet (16 channels; 5 cells a stage, or 8 cells) twice
in either way, in turns; the quicker of two counts, and all scores must be the same to the last bit. Images
are random numbers.
"""

import argparse
from contextlib import nullcontext
from functools import partial
from unittest import mock

import torch

from foresight_ext import PROXIES, SPACES, Batch, operation_scores
from foresight_ext.measures import proxy
from foresight_ext.measures.aznas_features import FeatureProxy
from foresight_ext.randomness import seeded
from tests.benchmarks.turns import in_turns

# what takes each away, and the proxies that are timed
SHORTCUTS = {
    "pooling": (
        mock.patch.object(proxy, "pooling_channels_last", lambda network: nullcontext()),
        "grad_norm,fisher,zico,jacob_cov,aznas,near",
    ),
    "passes": (mock.patch.object(FeatureProxy, "together", None), "aznas"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", choices=tuple(SHORTCUTS), required=True)
    parser.add_argument("--metrics")
    parser.add_argument("--space", choices=tuple(SPACES), default="nas-bench-201")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with seeded(0):
        supernet, mixing = SPACES.get(options.space)().begin(10)
    draw = torch.Generator().manual_seed(0)
    shape = (options.batch_size, 3, 32, 32)
    batch = Batch(torch.randn(shape, generator=draw), torch.arange(options.batch_size) % 10, seed=0)
    without, metrics = SHORTCUTS[options.of]
    print("proxy               without         with   ratio", flush=True)
    for name in (options.metrics or metrics).split(","):
        work = partial(operation_scores, PROXIES.get(name), supernet, mixing, [0], batch)
        before, now, scores = in_turns(work, without)
        assert all(one == scores[0] for one in scores), "the scores differ"
        print(f"{name:<16}{before:9.2f} s{now:11.2f} s{before / now:7.2f}x", flush=True)


if __name__ == "__main__":
    main()
