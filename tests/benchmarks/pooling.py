"""How much faster proxies score operations with pooling layers channels-last than as PyTorch has them.

python -m tests.benchmarks.pooling [--space nas-bench-201|s1|...|s6] [--batch_size 32] [--threads 1]
[--metrics NAME[,NAME...]], from the project's root. Each proxy scores all candidates of the first edge of the
space's default supernet (16 channels; 5 cells a stage, or 8 cells) twice in either way, in turns; the quicker
of two counts, and all scores must be the same to the last bit. Images are random numbers.
"""

import argparse
import time
from contextlib import nullcontext
from unittest import mock

import torch

from foresight_ext import PROXIES, SPACES, Batch, operation_scores
from foresight_ext.measures import proxy
from foresight_ext.randomness import seeded

METRICS = "grad_norm,fisher,zico,jacob_cov,aznas,near"
AS_PYTORCH = mock.patch.object(proxy, "pooling_channels_last", lambda network: nullcontext())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", choices=tuple(SPACES), default="nas-bench-201")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--metrics", default=METRICS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with seeded(0):
        supernet, mixing = SPACES.get(options.space)().begin(10)
    draw = torch.Generator().manual_seed(0)
    shape = (options.batch_size, 3, 32, 32)
    batch = Batch(torch.randn(shape, generator=draw), torch.arange(options.batch_size) % 10, seed=0)
    print("proxy            as PyTorch  channels-last   ratio", flush=True)
    for name in options.metrics.split(","):
        seconds: dict[bool, float] = {}
        scores = []
        for turned in (False, True) * 2:
            start = time.perf_counter()
            with nullcontext() if turned else AS_PYTORCH:
                scores.append(operation_scores(PROXIES.get(name), supernet, mixing, [0], batch))
            taken = time.perf_counter() - start
            seconds[turned] = min(taken, seconds.get(turned, taken))
        assert all(one == scores[0] for one in scores), "the scores differ"
        plain, fast = seconds[False], seconds[True]
        print(f"{name:<16}{plain:10.2f} s{fast:13.2f} s{plain / fast:7.2f}x", flush=True)


if __name__ == "__main__":
    main()
