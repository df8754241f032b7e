"""How much faster `vkdnw_entropy` is with several images in one pass than with each alone.

python -m tests.benchmarks.jacobians [--spaces nas-bench-201,s5] [--batch_size 32] [--threads 1], from the
project's root. The default supernet of each space (16 channels; 5 cells a stage, or 8 cells) is scored
without its first candidate, twice in either way, in turns; the quicker of two counts, and scores must be the
same up to what float32 rounds. Images are random numbers.
"""

import argparse
import time
from contextlib import nullcontext
from unittest import mock

import torch

from foresight_ext import PROXIES, SPACES, Batch
from foresight_ext.measures import jacobians
from foresight_ext.measures.proxy import scoring
from foresight_ext.randomness import seeded
from foresight_ext.supernets.supernet import remove

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
    proxy = PROXIES.get("vkdnw_entropy")
    print("space                alone    together   ratio", flush=True)
    for name in options.spaces.split(","):
        with seeded(0):
            supernet, mixing = SPACES.get(name)().begin(10)
        seconds: dict[bool, float] = {}
        scores = []
        for together in (False, True) * 2:
            start = time.perf_counter()
            with nullcontext() if together else ALONE, scoring(supernet, batch):
                scores += proxy.score_mixings(supernet, [remove(mixing, 0, 0)], batch)
            taken = time.perf_counter() - start
            seconds[together] = min(taken, seconds.get(together, taken))
        assert all(abs(one / scores[0] - 1) < 1e-3 for one in scores), f"the scores differ: {scores}"
        plain, fast = seconds[False], seconds[True]
        print(f"{name:<16}{plain:8.2f} s{fast:10.2f} s{plain / fast:7.2f}x", flush=True)


if __name__ == "__main__":
    main()
