"""Times a whole discretisation in the straightforward form and in this project's, and compares peak memory.

python -m tests.benchmarks.operation_scoring [--space nas-bench-201|s1|...|s6] [--batch_size 64]
[--threads 2], from the project's root. The spaces have their default supernets (16 channels; 5 cells a
stage, or 8 cells), edges are visited at random, images are random numbers.

The two forms take turns within each decision, so that a busy machine slows both. Peaks are those of two
processes of their own over the first decision, above what the process held before.
"""

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from numpy.random import RandomState

from foresight_ext import ORDERS, PROXIES, SPACES, Batch, Space, Supernet, discretise, operation_scores
from foresight_ext.measures import Proxy
from foresight_ext.randomness import seeded
from foresight_ext.search.choosing import highest, lowest
from foresight_ext.search.discretise import draw_plan
from foresight_ext.search.orders import Pruning
from foresight_ext.supernets.supernet import Mixing
from nasbench201.supernet import NASBench201Supernet
from tests.oracle import straightforward_mixing_scores, straightforward_supernet

STRAIGHTFORWARD, FAST = FORMS = ("straightforward", "fast")


class Forms(Proxy):
    """`jacob` of mixings in some of the two forms: times each, and checks that they agree."""

    name = "jacob"
    source = "see jacob"

    def __init__(self, supernet: torch.nn.Module, forms: tuple[str, ...] = FORMS):
        whole = isinstance(supernet, NASBench201Supernet)
        self.copied = straightforward_supernet(supernet) if whole else supernet
        self.forms = forms
        self.seconds = dict.fromkeys(forms, 0.0)
        self.difference = 0.0

    def score(self, network, batch):
        raise AssertionError("not needed")

    def score_mixings(self, supernet, mixings, batch):
        scores = {}
        for form in self.forms:
            start = time.perf_counter()
            if form == FAST:
                scores[form] = PROXIES.get("jacob").score_mixings(supernet, mixings, batch)
            else:
                scores[form] = straightforward_mixing_scores(self.copied, mixings, batch.inputs)
            self.seconds[form] += time.perf_counter() - start
        expected, found = scores[self.forms[0]], scores[self.forms[-1]]
        self.difference = max(abs(a - b) / abs(a) for a, b in zip(expected, found))
        assert self.difference < 1e-6, "the two forms score differently"
        for pick in (lowest, highest):
            assert pick(found) == pick(expected), "the two forms decide differently"
        return found


def minibatches(size: int) -> Iterator[Batch]:
    """Random images without end: minibatch i is drawn from seed i."""
    for number in itertools.count():
        draw = torch.Generator().manual_seed(number)
        yield Batch(torch.randn(size, 3, 32, 32, generator=draw), torch.zeros(size), number)


def set_up(
    space_name: str, threads: int, forms: tuple[str, ...] = FORMS
) -> tuple[Space, Supernet, Mixing, Forms]:
    """A space with its supernet, the mixing of a member, and `jacob` in the forms given."""
    torch.set_num_threads(threads)
    space = SPACES.get(space_name)()
    with seeded(0):
        supernet, mixing = space.begin(10)
    return space, supernet, mixing, Forms(supernet, forms)


def peak(form: str, space: str, batch_size: int, threads: int) -> float:
    """MB that the first decision in one form adds to a fresh process's peak memory."""
    _, supernet, mixing, proxy = set_up(space, threads, (form,))
    [[(_, visit)], *_] = draw_plan(ORDERS.get("random"), supernet, RandomState(0), [0]).operation_steps
    batch = next(minibatches(batch_size))
    before = peak_now()
    operation_scores(proxy, supernet, mixing, [visit.choice], batch)
    return peak_now() - before


def peak_now() -> float:
    """This process's peak memory in MB (Linux; getrusage would count the parent's as well)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _row(name: str, seconds: dict[str, float], kept: str = "", difference: str = "") -> None:
    slow, fast = seconds[STRAIGHTFORWARD], seconds[FAST]
    print(f"{name:<16}{slow:12.2f} s {fast:8.2f} s {slow / fast:5.1f}x  {kept:<20}  {difference}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", choices=tuple(SPACES), default="nas-bench-201")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    space, supernet, mixing, proxy = set_up(options.space, options.threads)
    # warm up
    operation_scores(proxy, supernet, mixing, [0], next(minibatches(options.batch_size)))
    total = dict.fromkeys(FORMS, 0.0)
    proxy.seconds = dict.fromkeys(FORMS, 0.0)
    print("decision        straightforward     fast  ratio  kept                  difference of scores")

    def report(decision) -> None:
        if isinstance(decision, Pruning):
            node = supernet.nodes[decision.node]
            lost = [supernet.choices[choice].name for choice in decision.dropped]
            name, kept = node.name, f"all but {len(lost)}"
        else:
            choice = supernet.choices[decision.choice]
            name, kept = choice.name, choice.candidates[decision.candidate]
        _row(name, proxy.seconds, kept, f"{proxy.difference:.1e}")
        for form in FORMS:
            total[form] += proxy.seconds[form]
        proxy.seconds = dict.fromkeys(FORMS, 0.0)

    found = discretise(supernet, proxy, minibatches(options.batch_size), mixing=mixing, report=report)
    _row("all", total)
    print(f"both forms decide for {space.genotype(found.mixing)}")
    arguments = (options.space, options.batch_size, options.threads)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = [pool.apply(peak, (form, *arguments)) for form in FORMS]
    print("peak memory: {:.0f} MB straightforward, {:.0f} MB fast".format(*peaks))


if __name__ == "__main__":
    main()
