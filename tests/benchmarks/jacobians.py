"""How much faster `vkdnw_entropy` is with several images in one pass than with each alone.

python -m tests.benchmarks.jacobians [--spaces nas-bench-201,s5] [--batch_size 32] [--threads 1], from the
project's root. The default supernet of each space (16 channels; 5 cells a stage, or 8 cells) is scored
without its first candidate, twice in either way, in turns; the quicker of two counts, and scores must be the
same up to what float32 rounds. Images are random numbers.
"""

import argparse
from functools import partial
from unittest import mock

import torch

from foresight_ext import PROXIES, SPACES, Batch
from foresight_ext.measures import jacobians
from foresight_ext.measures.proxy import scoring
from foresight_ext.randomness import seeded
from foresight_ext.supernets.supernet import Mixing, Supernet, remove
from tests.benchmarks.turns import in_turns

ALONE = mock.patch.object(jacobians, "_together", lambda *_: None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spaces", default="nas-bench-201,s5")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    draw = torch.Generator().manual_seed(0)
    shape = (options.batch_size, 3, 32, 32)
    batch = Batch(torch.randn(shape, generator=draw), torch.arange(options.batch_size) % 10, seed=0)
    print("space                alone    together   ratio", flush=True)
    for name in options.spaces.split(","):
        with seeded(0):
            supernet, mixing = SPACES.get(name)().begin(10)
        alone, together, scores = in_turns(partial(removed, supernet, mixing, batch), ALONE)
        assert all(abs(one / scores[0] - 1) < 1e-3 for one in scores), f"the scores differ: {scores}"
        print(f"{name:<16}{alone:8.2f} s{together:10.2f} s{alone / together:7.2f}x", flush=True)


def removed(supernet: Supernet, mixing: Mixing, batch: Batch) -> float:
    """The score without the first candidate."""
    with scoring(supernet, batch):
        [score] = PROXIES.get("vkdnw_entropy").score_mixings(supernet, [remove(mixing, 0, 0)], batch)
    return score


if __name__ == "__main__":
    main()
