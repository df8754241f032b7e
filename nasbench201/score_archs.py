"""Scores NAS-Bench-201 networks by zero-cost proxies: python -m nasbench201.score_archs --metrics NAME.

A run folder grows: more --metrics or a larger --sample compute what is missing.
"""

import argparse
import csv
import io
import logging
import math
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foresight_ext.cli import (
    Parser,
    add_common_options,
    console_log,
    entry_point,
    some_of,
    whole_number,
)
from foresight_ext.errors import UserError
from foresight_ext.files import write_json, write_text
from foresight_ext.progress import Progress
from foresight_ext.runs import Journal, RunFolder, notes_of, plain
from nasbench201.benchmark import DATA_FOLDER, SPACE_SIZE, Benchmark, add_benchmark_option, find_benchmark
from nasbench201.genotype import EDGES, OPERATIONS, format_genotype
from nasbench201.train import add_skeleton_options

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    import torch

    from foresight_ext.batches import Batch

CSV, CORRELATIONS = "scores.csv", "correlations.json"

_log = logging.getLogger(__name__)

# architecture -> proxy -> its score, as the proxy gave it
Scores = dict[str, dict[str, float]]
# an architecture, and the proxies to score it by; what came of it: score and seconds by each
Task = tuple[str, tuple[str, ...]]
Result = tuple[str, dict[str, tuple[float, float]]]


def sampled(seed: int, count: int) -> list[str]:
    """So many of the architectures in the seed's random order: a smaller sample begins a larger one."""
    every = list(product(OPERATIONS, repeat=len(EDGES)))
    order = np.random.RandomState(seed).permutation(SPACE_SIZE)[:count]
    return [format_genotype(every[index]) for index in order]


def score_one(options: argparse.Namespace, batch: "Batch", task: Task) -> Result:
    """An architecture's score and seconds by each of some proxies; its weights are drawn from the seed."""
    import torch

    from foresight_ext.measures import PROXIES
    from foresight_ext.randomness import mixed_seed, seeded
    from nasbench201.network import NASBench201Network

    architecture, names = task
    with seeded(mixed_seed(options.seed, *architecture.encode())):
        network = NASBench201Network(architecture, options.init_channels, options.cells, batch.images.classes)
    network.to(batch.inputs.device)
    found = {}
    for name in names:
        start = time.monotonic()
        score = PROXIES.get(name).score(network, batch)
        if batch.inputs.is_cuda:
            torch.cuda.synchronize()
        found[name] = (score, time.monotonic() - start)
    return architecture, found


def correlations(scores: Sequence[float], accuracies: Sequence[float]) -> dict[str, float | int | None]:
    """Spearman's and Kendall's rank correlation of scores that are higher when better; None if undefined.

    A score that is NaN or plus infinity says nothing: it is left out, and counted as `unusable`.
    """
    from scipy.stats import kendalltau, spearmanr

    pairs = [(score, accuracy) for score, accuracy in zip(scores, accuracies) if score < math.inf]
    result: dict[str, float | int | None] = {"unusable": len(scores) - len(pairs)}
    distinct = [len(set(column)) for column in zip(*pairs)]
    for name, correlation in (("spearman", spearmanr), ("kendall", kendalltau)):
        defined = len(distinct) == 2 and min(distinct) > 1
        result[name] = round(float(correlation(*zip(*pairs)).statistic), 4) if defined else None
    return result


class _Scoring:
    """One run. `options` are those of `main`."""

    def __init__(self, options: argparse.Namespace):
        from foresight_ext.measures.combination import parts_of

        self.options = options
        # what scores a network alone, for each proxy asked for: a combination is made of its parts' scores
        self.asked = {name: parts_of(name) for name in options.metrics.split(",")}
        self.parts = {name: part for parts in self.asked.values() for name, part in parts.items()}

    def run(self) -> None:
        from foresight_ext.devices import choose_device, prepare

        options = self.options
        prepare(options.threads)
        device, why = choose_device(options.device, options.gpu)
        architectures = sampled(options.seed, options.sample or SPACE_SIZE)
        accuracies = _accuracies(options, architectures)
        names = ("seed", "dataset", "image_size", "mean", "std", "batch_size", "init_channels", "cells")
        settings = {name: getattr(options, name) for name in names}
        settings["data"] = str(options.data or DATA_FOLDER)
        path = options.out / "nas-bench-201-scores" / f"{options.save}-seed{options.seed}-{options.dataset}"
        load = cache(lambda: minibatch(options, device))
        if options.force or not path.exists():
            load()  # what is wrong with the data set is told before a folder is made or emptied
        folder = RunFolder(path, settings, notes_of(options, settings, why), options.force)
        folder.log_to_file()
        try:
            journal = folder.journal("scores")
            scores, seconds = _journalled(journal)
            tasks = [
                (one, missing)
                for one in architectures
                if (missing := tuple(name for name in self.parts if name not in scores.get(one, {})))
            ]
            if tasks:
                batch = load()  # here, where a mistake is told, and not in each of several processes
                count = f"{options.processes} process{'es' * (options.processes > 1)}"
                _log.info("scoring on %s, in %s", why, count)
                self._compute(_results(options, tasks, batch), tasks, journal, scores, seconds)
            else:
                _log.info("scored before, nothing to compute: --force would start afresh")
            self._report(folder, architectures, scores, seconds, accuracies)
        finally:
            folder.close()
        print(f"run: {folder.path}")

    def _compute(
        self,
        results: Iterable[Result],
        tasks: list[Task],
        journal: Journal,
        scores: Scores,
        seconds: dict[str, float],
    ) -> None:
        """Take the results of the tasks into the journal, the scores and the seconds."""
        done = sum(len(found) for found in scores.values())
        progress = Progress("scores", done + sum(len(names) for _, names in tasks), done)
        for architecture, found in results:
            for name, (score, took) in found.items():
                entry = {"architecture": architecture, "proxy": name, "score": plain(score)}
                journal.append({**entry, "seconds": round(took, 4)})
                scores.setdefault(architecture, {})[name] = score
                seconds[name] = seconds.get(name, 0.0) + took
                progress.step()

    def _report(
        self,
        folder: RunFolder,
        architectures: list[str],
        scores: Scores,
        seconds: dict[str, float],
        accuracies: dict[str, list[float]] | None,
    ) -> None:
        columns = {name: self._column(name, architectures, scores) for name in self.asked}
        held = accuracies or {}
        _write_csv(folder.path / CSV, scores, sampled(self.options.seed, SPACE_SIZE))
        _log.info("%d networks: %s", len(architectures), folder.path / CSV)
        each = {name: seconds[name] / sum(name in found for found in scores.values()) for name in self.parts}
        if accuracies is None:
            _log.info("no benchmark, so no correlations: put one into %s, or give --benchmark", DATA_FOLDER)
            return
        content = {}
        _log.info("%-16s%s   seconds each", "", "".join(f"{name:>26}" for name in accuracies))
        _log.info("%-16s%s", "proxy", "       Spearman    Kendall" * len(accuracies))
        for name, column in columns.items():
            content[name] = {dataset: correlations(column, held[dataset]) for dataset in accuracies}
            cells = "".join(
                f"{_shown(one['spearman']):>15}{_shown(one['kendall']):>11}" for one in content[name].values()
            )
            took = sum(each[part] for part in self.asked[name])
            unusable = next(iter(content[name].values()))["unusable"]
            note = f"   {unusable} without a usable score" if unusable else ""
            _log.info("%-16s%s   %10.3f s%s", name, cells, took, note)
        write_json(
            folder.path / CORRELATIONS,
            {"networks": len(architectures), "correlations": content, "seconds_each": each},
        )

    def _column(self, name: str, architectures: Sequence[str], scores: Scores) -> list[float]:
        """A proxy's scores, the higher the better; a combination's compare the whole sample."""
        from foresight_ext.measures import PROXIES
        from foresight_ext.measures.combination import signed

        columns = [
            [signed(part, scores[one][part_name]) for one in architectures]
            for part_name, part in self.asked[name].items()
        ]
        return PROXIES.get(name).combine(columns)


def _write_csv(path: Path, scores: Scores, order: list[str]) -> None:
    """Write all that was ever scored, whatever is asked for now; a proxy that is missing leaves a gap."""
    names = list(dict.fromkeys(name for found in scores.values() for name in found))
    rows = [[one, *(scores[one].get(name, "") for name in names)] for one in order if one in scores]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["architecture", *names], *rows])
    write_text(path, text.getvalue())


def _accuracies(options: argparse.Namespace, architectures: list[str]) -> dict[str, list[float]] | None:
    """The architectures' test accuracies by data set; None without a benchmark."""
    path = find_benchmark(options.benchmark)
    if path is None:
        return None
    benchmark = Benchmark.open(path)
    return {name: [benchmark.accuracy(one, name) for one in architectures] for name in benchmark.datasets}


def minibatch(options: argparse.Namespace, device: "torch.device") -> "Batch":
    """The minibatch that all networks are scored on, drawn from the seed."""
    from foresight_ext.batches import draw_pass
    from foresight_ext.datasets import load_as_asked
    from foresight_ext.randomness import seeded

    data = load_as_asked(options, "train")
    if options.batch_size > len(data):
        raise UserError(f"--batch_size {options.batch_size}: there are {len(data)} training images")
    with seeded(options.seed):
        draws = next(draw_pass(len(data), options.batch_size, data.augmentation))
    return data.render(draws, device)


def _results(options: argparse.Namespace, tasks: list[Task], batch: "Batch") -> Iterator[Result]:
    """What score_one says of every task, from worker processes if there are to be several."""
    if options.processes == 1:
        yield from map(partial(score_one, options, batch), tasks)
        return
    spawn, device = multiprocessing.get_context("spawn"), str(batch.inputs.device)
    executor = ProcessPoolExecutor(options.processes, spawn, _start_worker, (options, device))
    try:
        # Ctrl-C is for this process alone: workers that it stops anywhere could leave the others waiting
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            results = executor.map(_work, tasks)  # starts the workers, which go on ignoring it
        finally:
            signal.signal(signal.SIGINT, handler)
        yield from results
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, perhaps of too little memory: use fewer --processes"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker(options: argparse.Namespace, device: str) -> None:
    global _worker  # a process of a pool has no other place for what its tasks share
    import torch

    from foresight_ext.devices import prepare

    prepare(options.threads or 1)
    _worker = partial(score_one, options, minibatch(options, torch.device(device)))


def _work(task: Task) -> Result:
    return _worker(task)


def _journalled(journal: Journal) -> tuple[Scores, dict[str, float]]:
    """The scores that a journal holds, and the seconds that each proxy took in all."""
    scores: Scores = {}
    seconds: dict[str, float] = {}
    for number, entry in enumerate(journal.entries, start=1):
        try:
            name, score = entry["proxy"], float(entry["score"])
            scores.setdefault(entry["architecture"], {})[name] = score
        except (KeyError, TypeError, ValueError):
            raise journal.damaged(number) from None
        seconds[name] = seconds.get(name, 0.0) + entry["seconds"]
    return scores, seconds


def _shown(correlation: float | None) -> str:
    return "-" if correlation is None else f"{correlation:.3f}"


def _known(names: str) -> None:
    """UserError unless 'a,b,c' are different proxies."""
    from foresight_ext.measures import PROXIES

    listed = names.split(",")
    for name in listed:
        PROXIES.get(name)
        if listed.count(name) > 1:
            raise UserError(f"the proxy '{name}' comes twice in '{names}': leave one out")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line."""
    from foresight_ext.measures import PROXIES

    parser = Parser("nasbench201.score_archs", "Score NAS-Bench-201 networks by zero-cost proxies.")
    add_common_options(parser, seed=0, save="scores")
    parser.option(
        "--metrics",
        "--metric",
        type=some_of(_known),
        default="jacob",
        metavar="NAME[,NAME...]",
        help=f"the zero-cost proxies, out of {', '.join(PROXIES)}",
    )
    parser.option(
        "--sample",
        type=whole_number(1, SPACE_SIZE),
        default=None,
        metavar="N",
        help=f"how many networks, drawn at random; none means all {SPACE_SIZE:,}",
    )
    parser.option("--batch_size", type=whole_number(2), default=64, help="images in the minibatch")
    parser.option("--processes", type=whole_number(1), default=1, help="worker processes that share the work")
    add_skeleton_options(parser)
    add_benchmark_option(parser)
    return parser.parse_args(argv)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Score networks, and tell how scores and accuracies go together; returns the exit code."""
    options = parse(argv)
    with console_log():
        _Scoring(options).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
