"""Times one discretisation in the straightforward form and in this project's, and compares peak memory.

python -m tests.benchmarks.operation_scoring [--batch_size 64] [--threads 2], from the project's root.

Six decisions, 30 operation scores, on a NAS-Bench-201 supernet of 16 channels and 5 cells a stage. The two
forms take turns within each decision, so that a busy machine slows both. Peaks are those of two processes
of their own, above what the process held before the first score.
"""

import argparse
import multiprocessing
import time
from pathlib import Path

import torch

from foresight_ext.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.scoring import lowest, operation_scores
from foresight_ext.supernet import decide, softmax_mixing
from nasbench201.genotype import EDGE_NAMES, OPERATIONS
from nasbench201.supernet import NASBench201Supernet
from tests.oracle import straightforward_scores, straightforward_supernet

EDGES = (3, 0, 5, 2, 1, 4)


def set_up(batch_size: int, threads: int):
    """The two forms as functions (mixing, edge, images) -> five scores, first mixing, and images."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    supernet = NASBench201Supernet(16, 5, 10)
    mixing = softmax_mixing(1e-3 * torch.randn(6, 5))
    batches = [torch.randn(batch_size, 3, 32, 32) for _ in EDGES]
    copied = straightforward_supernet(supernet)
    jacob = PROXIES.get("jacob")

    def fast(mixing, edge, x):
        return operation_scores(jacob, supernet, mixing, [edge], Batch(x, torch.zeros(len(x))))[edge]

    def straightforward(mixing, edge, x):
        return straightforward_scores(copied, mixing, edge, x)

    return {"straightforward": straightforward, "fast": fast}, mixing, batches


def peak(form: str, batch_size: int, threads: int) -> float:
    """MB that a whole discretisation in one form adds to a fresh process's peak memory."""
    forms, mixing, batches = set_up(batch_size, threads)
    before = _peak_now()
    for edge, x in zip(EDGES, batches):
        mixing = decide(mixing, edge, lowest(forms[form](mixing, edge, x)))
    return _peak_now() - before


def _peak_now() -> float:
    """This process's peak memory in MB (Linux; getrusage would count the parent's as well)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    forms, mixing, batches = set_up(options.batch_size, options.threads)
    for form in forms.values():  # warm up
        form(mixing, EDGES[0], batches[0][:8])
    total = dict.fromkeys(forms, 0.0)
    print("edge   straightforward     fast  ratio  kept          largest difference of scores")
    for edge, x in zip(EDGES, batches):
        seconds, scores = {}, {}
        for name, form in forms.items():
            start = time.perf_counter()
            scores[name] = form(mixing, edge, x)
            seconds[name] = time.perf_counter() - start
            total[name] += seconds[name]
        expected, found = scores["straightforward"], scores["fast"]
        difference = max(abs(a - b) / abs(a) for a, b in zip(expected, found))
        kept = lowest(found)
        assert kept == lowest(expected), "the two forms decide differently"
        assert difference < 1e-6, "the two forms score differently"
        print(
            f"{EDGE_NAMES[edge]}  {seconds['straightforward']:14.2f} s {seconds['fast']:6.2f} s "
            f"{seconds['straightforward'] / seconds['fast']:5.1f}x  {OPERATIONS[kept]:<12}  {difference:.1e}"
        )
        mixing = decide(mixing, edge, kept)
    ratio = total["straightforward"] / total["fast"]
    print(f"all    {total['straightforward']:14.2f} s {total['fast']:6.2f} s {ratio:5.1f}x")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = {name: pool.apply(peak, (name, options.batch_size, options.threads)) for name in forms}
    print(f"peak memory: {peaks['straightforward']:.0f} MB straightforward, {peaks['fast']:.0f} MB fast")


if __name__ == "__main__":
    main()
