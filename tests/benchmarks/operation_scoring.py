"""Times a whole discretisation in the straightforward form and in this project's, and compares peak memory.

python -m tests.benchmarks.operation_scoring [--space nas-bench-201|s1|...|mobilenet] [--batch_size 64]
[--image_size 32] [--threads 2] [--general], from the project's root. The spaces have their default supernets
(16 channels; 5 cells a stage, or 8 cells), edges are visited at random, images are random numbers. `fast` is
a space's own form; with --general that of the same supernet rebuilt as a network with MixedOps is timed too
(NAS-Bench-201 and DARTS; the other spaces are such networks).

The forms take turns within each decision, so that a busy machine slows all. Peaks are those of processes of
their own over the first decision, above what the process held before.
"""

import argparse
import copy
import itertools
import multiprocessing
import time
from collections.abc import Iterator, Sequence
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
from tests.rebuilt import rebuilt_darts, rebuilt_nasbench201

STRAIGHTFORWARD, FAST, GENERAL = ("straightforward", "fast", "general")
FORMS = (STRAIGHTFORWARD, FAST)


class Forms(Proxy):
    """`jacob` of mixings in some of the forms: times each, and checks that they agree."""

    name = "jacob"
    source = "see jacob"

    def __init__(self, supernet: torch.nn.Module, forms: tuple[str, ...] = FORMS):
        whole = isinstance(supernet, NASBench201Supernet)
        # a copy: what scoring makes faster in any network it does not to this one
        self.copied = straightforward_supernet(supernet) if whole else copy.deepcopy(supernet)
        self.rebuilt, self.order = rebuilt(supernet) if GENERAL in forms else (None, ())
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
            elif form == GENERAL:
                theirs = [tuple(mixing[choice] for choice in self.order) for mixing in mixings]
                scores[form] = PROXIES.get("jacob").score_mixings(self.rebuilt, theirs, batch)
            else:
                scores[form] = straightforward_mixing_scores(self.copied, mixings, batch.inputs)
            self.seconds[form] += time.perf_counter() - start
        expected = scores[self.forms[0]]
        self.difference = 0.0
        for found in scores.values():
            differences = [abs(a - b) / abs(a) for a, b in zip(expected, found)]
            assert all(one < 1e-6 for one in differences), "the forms score differently"  # NaN does
            self.difference = max(self.difference, *differences)
            for pick in (lowest, highest):
                near = abs(expected[pick(found)] - expected[pick(expected)])
                assert near <= 1e-6 * abs(expected[pick(expected)]), "the forms decide differently"
        return expected


def rebuilt(supernet: torch.nn.Module) -> tuple[Supernet, Sequence[int]]:
    """The supernet as a network with MixedOps, and which of its choices each of that one's is."""
    if isinstance(supernet, NASBench201Supernet):
        return rebuilt_nasbench201(supernet), range(len(supernet.choices))
    network = rebuilt_darts(supernet)
    names = [choice.name.replace(" ", "_") for choice in supernet.choices]
    return network, [names.index(choice.name) for choice in network.choices]


def minibatches(batch_size: int, image_size: int) -> Iterator[Batch]:
    """Random images without end: minibatch i is drawn from seed i."""
    for number in itertools.count():
        draw = torch.Generator().manual_seed(number)
        shape = (batch_size, 3, image_size, image_size)
        yield Batch(torch.randn(shape, generator=draw), torch.zeros(batch_size), number)


def set_up(
    space_name: str, threads: int, forms: tuple[str, ...] = FORMS
) -> tuple[Space, Supernet, Mixing, Forms]:
    """A space with its supernet, the mixing of a member, and `jacob` in the forms given."""
    torch.set_num_threads(threads)
    space = SPACES.get(space_name)()
    with seeded(0):
        supernet, mixing = space.begin(10)
    return space, supernet, mixing, Forms(supernet, forms)


def peak(form: str, space: str, batch_size: int, image_size: int, threads: int) -> float:
    """MB that the first decision in one form adds to a fresh process's peak memory."""
    _, supernet, mixing, proxy = set_up(space, threads, (form,))
    [[(_, visit)], *_] = draw_plan(ORDERS.get("random"), supernet, RandomState(0), [0]).operation_steps
    batch = next(minibatches(batch_size, image_size))
    before = peak_now()
    operation_scores(proxy, supernet, mixing, [visit.choice], batch)
    return peak_now() - before


def peak_now() -> float:
    """This process's peak memory in MB (Linux; getrusage would count the parent's as well)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _row(name: str, seconds: dict[str, float], kept: str = "", difference: str = "") -> None:
    slow, *others = seconds.values()
    figures = "".join(f" {fast:8.2f} s {slow / fast:5.1f}x" for fast in others)
    print(f"{name:<16}{slow:12.2f} s{figures}  {kept:<20}  {difference}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", choices=tuple(SPACES), default="nas-bench-201")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--image_size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--general", action="store_true")
    options = parser.parse_args()
    forms = (*FORMS, GENERAL) if options.general else FORMS
    space, supernet, mixing, proxy = set_up(options.space, options.threads, forms)
    images = (options.batch_size, options.image_size)
    # warm up
    operation_scores(proxy, supernet, mixing, [0], next(minibatches(*images)))
    total = dict.fromkeys(forms, 0.0)
    proxy.seconds = dict.fromkeys(forms, 0.0)
    titles = "".join(f"{form:>11}  ratio" for form in forms[1:])
    print(f"decision        {forms[0]}{titles}  kept                  difference of scores")

    def report(decision) -> None:
        if isinstance(decision, Pruning):
            node = supernet.nodes[decision.node]
            lost = [supernet.choices[choice].name for choice in decision.dropped]
            name, kept = node.name, f"all but {len(lost)}"
        else:
            choice = supernet.choices[decision.choice]
            name, kept = choice.name, choice.candidates[decision.candidate]
        _row(name, proxy.seconds, kept, f"{proxy.difference:.1e}")
        for form in forms:
            total[form] += proxy.seconds[form]
        proxy.seconds = dict.fromkeys(forms, 0.0)

    found = discretise(supernet, proxy, minibatches(*images), mixing=mixing, report=report)
    _row("all", total)
    print(f"all decide for {space.genotype(found.mixing)}")
    arguments = (options.space, *images, options.threads)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = {form: pool.apply(peak, (form, *arguments)) for form in forms}
    print("peak memory: " + ", ".join(f"{peak:.0f} MB {form}" for form, peak in peaks.items()))


if __name__ == "__main__":
    main()
