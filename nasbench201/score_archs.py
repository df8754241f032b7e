"""Scores NAS-Bench-201 networks by zero-cost proxies: python -m nasbench201.score_archs --metrics NAME.

A run folder grows: more --metrics or a larger --sample compute what is missing.
"""

import argparse
import csv
import io
import logging
import math
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m nasbench201.score_archs", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import (
    add_common_options,
    add_metrics_option,
    compute_of,
    images_of,
    place_of,
)
from foresight_ext.commands.parser import Parser, console_log, entry_point, user_path, whole_number
from foresight_ext.files import write_json, write_text
from foresight_ext.runs.config import data_moved
from foresight_ext.runs.folder import RunFolder
from foresight_ext.runs.journal import Journal, json_score
from foresight_ext.runs.progress import Progress
from nasbench201.benchmark import DATA_FOLDER, Benchmark, add_benchmark_option, find_benchmark
from nasbench201.comparing import Published
from nasbench201.genotype import SPACE_SIZE
from nasbench201.scoring import Result, ScoringSettings, Task, correlations, minibatch, results, sampled
from nasbench201.train import add_skeleton_options, skeleton_of

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.measures.proxy import Proxy

CSV, CORRELATIONS, COMPARED = "scores.csv", "correlations.json", "compared.json"

_log = logging.getLogger(__name__)

# architecture -> proxy -> its score, as the proxy gave it
Scores = dict[str, dict[str, float]]


class _Scoring:
    """One run. `options` are those of `main`."""

    def __init__(self, options: argparse.Namespace):
        from foresight_ext.measures import PROXIES

        self.options = options
        self.settings = ScoringSettings(
            options.seed, images_of(options), options.batch_size, skeleton_of(options)
        )
        self.asked = [PROXIES.get(name) for name in options.metrics]
        # what scores a network alone: a combination is made of its parts' scores
        self.parts = list(dict.fromkeys(part.name for proxy in self.asked for part in proxy.parts))

    def run(self) -> None:
        from foresight_ext.devices import threads_set

        options, settings = self.options, self.settings
        place, compute = place_of(options), compute_of(options)
        device, why = compute.choose()
        architectures = sampled(settings.seed, options.sample or SPACE_SIZE)
        accuracies = _accuracies(options, architectures)
        published = None
        if options.compare is not None:
            published = Published.open(options.compare, [proxy.name for proxy in self.asked], architectures)
        name = f"{place.save}-seed{settings.seed}-{settings.images.dataset}"
        path = place.out / "nas-bench-201-scores" / name
        load = cache(lambda: minibatch(settings, device))
        if place.force or not path.exists():
            load()  # what is wrong with the data set is told before a folder is made or emptied
        with threads_set(compute.threads), place.open(path, settings.as_written(), why) as folder:
            journal = folder.journal("scores")
            scores, seconds = _journalled(journal)
            tasks = [
                (one, missing)
                for one in architectures
                if (missing := tuple(name for name in self.parts if name not in scores.get(one, {})))
            ]
            if tasks:
                folder.must_write()
            root = settings.images.root
            if tasks or data_moved(path, root):
                batch = load()  # here, where a mistake is told, and not in each of several processes
                assert batch.images is not None  # as `minibatch` makes it
                folder.same_data(root, train=batch.images.described())
            if tasks:
                count = f"{options.processes} process{'es' * (options.processes > 1)}"
                _log.info("scoring on %s, in %s", why, count)
                found = results(settings, tasks, batch, options.processes, compute.threads)
                self._compute(found, tasks, journal, scores, seconds)
            else:
                _log.info("scored before, nothing to compute: --force would start afresh")
            self._report(folder, architectures, scores, seconds, accuracies)
            if published is not None:
                self._compare(folder, published, architectures, scores, accuracies or {})
        print(f"run: {path}")

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
        with Progress("scores", done + sum(len(names) for _, names in tasks), done) as progress:
            for architecture, found in results:
                for name, (score, took) in found.items():
                    entry = {"architecture": architecture, "proxy": name, "score": json_score(score)}
                    journal.append({**entry, "seconds": round(took, 4)})
                    scores.setdefault(architecture, {})[name] = score
                    seconds[name] = seconds.get(name, 0.0) + took
                    progress.step(f"{name} {score:.4g}")

    def _report(
        self,
        folder: RunFolder,
        architectures: list[str],
        scores: Scores,
        seconds: dict[str, float],
        accuracies: dict[str, list[float]] | None,
    ) -> None:
        columns = {proxy: _column(proxy, architectures, scores) for proxy in self.asked}
        held = accuracies or {}
        if not folder.read_only:
            _write_csv(folder.path / CSV, scores, sampled(self.options.seed, SPACE_SIZE))
        _log.info("%d networks: %s", len(architectures), folder.path / CSV)
        each = {name: seconds[name] / sum(name in found for found in scores.values()) for name in self.parts}
        if accuracies is None:
            _log.info("no benchmark, so no correlations: put one into %s, or give --benchmark", DATA_FOLDER)
            return
        content = {}
        _log.info("%-16s%s   seconds each", "", "".join(f"{name:>26}" for name in accuracies))
        _log.info("%-16s%s", "proxy", "       Spearman    Kendall" * len(accuracies))
        for proxy, column in columns.items():
            name = proxy.name
            content[name] = {dataset: correlations(column, held[dataset]) for dataset in accuracies}
            cells = "".join(
                f"{_shown(one['spearman']):>15}{_shown(one['kendall']):>11}" for one in content[name].values()
            )
            took = sum(each[part.name] for part in proxy.parts)
            unusable = next(iter(content[name].values()))["unusable"]
            note = f"   {unusable} without a usable score" if unusable else ""
            _log.info("%-16s%s   %10.3f s%s", name, cells, took, note)
        if not folder.read_only:
            told = {"networks": len(architectures), "correlations": content, "seconds_each": each}
            write_json(folder.path / CORRELATIONS, told)

    def _compare(
        self,
        folder: RunFolder,
        published: Published,
        architectures: list[str],
        scores: Scores,
        accuracies: dict[str, list[float]],
    ) -> None:
        """Tell how our scores go together with published ones, and both with the accuracies."""
        content = {}
        _log.info("compared with %s: Spearman, on the networks that it holds", published.path)
        titles = "".join(f"{name + ' ours':>21}{'theirs':>9}" for name in accuracies)
        _log.info("%-20s%10s%9s%s", "proxy", "networks", "both", titles)
        for proxy in self.asked:
            found = published.scores.get(proxy.name, {})
            held = [number for number, one in enumerate(architectures) if one in found]
            ours = _column(proxy, [architectures[number] for number in held], scores)
            pairs = [(number, score) for number, score in zip(held, ours) if score < math.inf]
            ours = [score for _, score in pairs]
            theirs = [proxy.signed(found[architectures[number]]) for number, _ in pairs]
            told: dict[str, float | None] = {"both": correlations(ours, theirs)["spearman"]}
            for dataset, column in accuracies.items():
                some = [column[number] for number, _ in pairs]
                told[f"{dataset} ours"] = correlations(ours, some)["spearman"]
                told[f"{dataset} theirs"] = correlations(theirs, some)["spearman"]
            content[proxy.name] = {"networks": len(pairs), **told}
            widths = [9, *[21, 9] * len(accuracies)]
            cells = "".join(f"{_shown(one):>{width}}" for one, width in zip(told.values(), widths))
            _log.info("%-20s%10d%s", proxy.name, len(pairs), cells)
        if not folder.read_only:
            write_json(folder.path / COMPARED, {"with": str(published.path), "spearman": content})


def _column(proxy: "Proxy", architectures: Sequence[str], scores: Scores) -> list[float]:
    """A proxy's scores, the higher the better; a combination's compare the whole sample."""
    columns = [[part.signed(scores[one][part.name]) for one in architectures] for part in proxy.parts]
    return proxy.combine(columns)


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


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line."""
    parser = Parser("nasbench201.score_archs", "Score NAS-Bench-201 networks by zero-cost proxies.")
    add_common_options(parser, seed=0, save="scores")
    add_metrics_option(parser, "the zero-cost proxies, out of", combined=False)
    parser.option(
        "--sample",
        type=whole_number(1, SPACE_SIZE),
        default=None,
        metavar="N",
        help=f"how many networks, drawn at random; none means all {SPACE_SIZE:,}",
    )
    parser.option("--batch_size", type=whole_number(2), default=64, help="images in the minibatch")
    parser.option("--processes", type=whole_number(1), default=1, help="worker processes that share the work")
    parser.option(
        "--compare",
        type=user_path,
        default=None,
        metavar="FILE",
        help="a CSV of published scores, such as NAS-Bench-Suite-Zero's, to compare ours with",
    )
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
