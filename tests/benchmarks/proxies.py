"""Times every proxy as an operation scorer, a candidate at a time, and prints its peak memory.

python -m tests.benchmarks.proxies [--space nas-bench-201|s1|...|s6] [--batch_size 64] [--threads 2]
[--metrics NAME[,NAME...]], from the project's root. The supernet is the space's default one (16 channels; 5
cells a stage, or 8 cells); images are random numbers. Each proxy has a process of its own and scores all
candidates of the first edge; the peak is what that adds to what the process held before.
"""

import argparse
import multiprocessing
import time

import torch

from foresight_ext import PROXIES, SPACES, Batch, operation_scores
from tests.benchmarks.operation_scoring import peak_now


def seconds_and_peak(name: str, space: str, batch_size: int, threads: int) -> tuple[float, float]:
    """Seconds per candidate of the first edge, and MB that scoring adds to this fresh process's peak."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    supernet, mixing = SPACES.get(space)().begin(10)
    generator = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.randn(batch_size, 3, 32, 32, generator=generator), torch.arange(batch_size) % 10, seed=0
    )
    before, start = peak_now(), time.perf_counter()
    operation_scores(PROXIES.get(name), supernet, mixing, [0], batch)
    return (time.perf_counter() - start) / len(mixing[0]), peak_now() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", choices=tuple(SPACES), default="nas-bench-201")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--metrics", default=",".join(PROXIES))
    options = parser.parse_args()
    print("proxy           seconds per candidate  peak memory", flush=True)
    for name in options.metrics.split(","):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            arguments = (name, options.space, options.batch_size, options.threads)
            seconds, peak = pool.apply(seconds_and_peak, arguments)
        print(f"{name:<16}{seconds:20.3f} s {peak:9.0f} MB", flush=True)


if __name__ == "__main__":
    main()
