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
from pathlib import Path

import torch

import nasbench201.space
import sota.cnn.space  # noqa: F401 - both register their spaces
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.search.orders import ORDERS, Pruning
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.scoring import highest, lowest, operation_scores
from foresight_ext.search.space import SPACES
from tests.oracle import straightforward_mixing_scores, straightforward_supernet

STRAIGHTFORWARD, FAST = FORMS = ("straightforward", "fast")


class RandomImages:
    """Stands in for a data set: minibatch i is drawn from seed i."""

    classes = 10

    def __init__(self, batch_size: int):
        self.batch_size = batch_size

    def render(self, number: int, device: torch.device) -> Batch:
        generator = torch.Generator().manual_seed(number)
        images = torch.randn(self.batch_size, 3, 32, 32, generator=generator)
        return Batch(images, torch.zeros(self.batch_size), number)


class Search(PoolSearch):
    """A search on numbered minibatches."""

    def _batches(self):
        yield from itertools.count()


class Forms:
    """`jacob` of mixings in some of the two forms: times each, and checks that they agree."""

    higher_is_better = True

    def __init__(self, supernet: torch.nn.Module, forms: tuple[str, ...] = FORMS):
        whole = isinstance(supernet, nasbench201.space.NASBench201Supernet)
        self.copied = straightforward_supernet(supernet) if whole else supernet
        self.forms = forms
        self.seconds = dict.fromkeys(forms, 0.0)
        self.difference = 0.0

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


def set_up(space: str, batch_size: int, threads: int, forms: tuple[str, ...] = FORMS) -> Search:
    """A search whose proxy is scored in the forms given."""
    torch.set_num_threads(threads)
    cpu = torch.device("cpu")
    search = Search(SPACES.get(space)(), RandomImages(batch_size), None, ORDERS.get("random"), 0, 0, cpu)
    search.proxy = Forms(search.supernet, forms)
    return search


def peak(form: str, space: str, batch_size: int, threads: int) -> float:
    """MB that the first decision in one form adds to a fresh process's peak memory."""
    search = set_up(space, batch_size, threads, (form,))
    draws = search.draw()
    step = draws.operation_steps[0]
    batch = search.data.render(step.batches[0], search.device)
    before = peak_now()
    operation_scores(search.proxy, search.supernet, draws.mixing, [step.visits[0].choice], batch)
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
    search = set_up(options.space, options.batch_size, options.threads)
    proxy, supernet = search.proxy, search.supernet
    draws = search.draw()
    # warm up
    operation_scores(proxy, supernet, draws.mixing, [0], search.data.render(0, search.device))
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

    genotype, _ = search.discretise(draws, report=report)
    _row("all", total)
    print(f"both forms decide for {genotype}")
    arguments = (options.space, options.batch_size, options.threads)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = [pool.apply(peak, (form, *arguments)) for form in FORMS]
    print("peak memory: {:.0f} MB straightforward, {:.0f} MB fast".format(*peaks))


if __name__ == "__main__":
    main()
