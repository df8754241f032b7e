"""A run that scores networks: it keeps its scores, and more proxies or networks compute what is missing."""

import csv
import io
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from foresight_ext.devices import Compute, threads_set
from foresight_ext.files import write_json, write_text
from foresight_ext.measures import PROXIES
from foresight_ext.measures.proxy import Proxy
from foresight_ext.parallel.workers import ALONE, Workers
from foresight_ext.runs.config import data_moved
from foresight_ext.runs.folder import Place, RunFolder
from foresight_ext.runs.journal import Journal, json_score
from foresight_ext.runs.progress import Progress
from foresight_ext.scoring.networks import Result, Scorer, ScoringSettings, Task, minibatch
from foresight_ext.scoring.published import Published
from foresight_ext.scoring.ranking import correlations, rank

CSV, CORRELATIONS, COMPARED, RANKS = "scores.csv", "correlations.json", "compared.json", "ranks.json"

_log = logging.getLogger(__name__)

# genotype -> proxy -> its score, as the proxy gave it
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Networks:
    """The networks that are scored, as genotypes, and what is known of them.

    `sample` are those asked for; `order` all there are, as scores.csv lists them. `accuracies` are the
    sample's by data set, None if unknown; `note` says what they are, or what to do about it. `judged` are
    networks by their names that are scored as well and ranked among the sample.
    """

    sample: Sequence[str]
    order: Sequence[str]
    accuracies: Mapping[str, Sequence[float]] | None
    note: str = ""
    judged: Mapping[str, str] = field(default_factory=dict)


class ScoringRun:
    """One run in the folder `name` of `place`. UserError says what is wrong, before long work starts."""

    def __init__(
        self,
        settings: ScoringSettings,
        networks: Networks,
        metrics: Sequence[str],
        name: str,
        place: Place,
        compute: Compute,
        workers: Workers = ALONE,
        published: Published | None = None,
    ):
        self.settings = settings
        self.networks = networks
        self.place = place
        self.compute = compute
        self.workers = workers
        self.published = published
        self.path = place.out / name / f"{place.save}-seed{settings.seed}-{settings.images.dataset}"
        self.asked = [PROXIES.get(metric) for metric in metrics]
        # what scores a network alone: a combination is made of its parts' scores
        self.parts = list(dict.fromkeys(part.name for proxy in self.asked for part in proxy.parts))

    def run(self) -> Path:
        """Score what has no scores yet and report; the run folder."""
        settings, networks, place = self.settings, self.networks, self.place
        compute, device, why = self.workers.choose(self.compute)
        load = cache(lambda: minibatch(settings, device))
        if place.force or not self.path.exists():
            self.workers.check()
            load()  # what is wrong with the data set is told before a folder is made or emptied
        opened = place.open(self.path, settings.as_written(), why)
        with threads_set(self.compute.threads), opened as folder:
            journal = folder.journal("scores")
            scores, seconds = _journalled(journal)
            tasks = self._missing(scores)
            if tasks:
                folder.must_write()
            root = settings.images.root
            if tasks or data_moved(self.path, root):
                batch = load()  # here, where a mistake is told, and not in each of several processes
                assert batch.images is not None  # as `minibatch` makes it
                folder.same_data(root, train=batch.images.described())
                scorer = Scorer(settings, compute, batch)
            if tasks:
                _log.info("scoring on %s, in %s", why, self.workers)
            else:
                _log.info("scored before, nothing to compute: --force would start afresh")
            while tasks:  # jobs of before may have been asked for something else
                with closing(self.workers.results(scorer, tasks, self.path, "networks")) as found:
                    _compute(found, tasks, journal, scores, seconds)
                tasks = self._missing(scores)
            self._report(folder, scores, seconds)
            if networks.judged:
                self._judge(folder, scores)
            if self.published is not None:
                self._compare(folder, self.published, scores)
        return self.path

    def _missing(self, scores: Scores) -> list[Task]:
        """The networks that lack scores, and the proxies of these."""
        every = dict.fromkeys([*self.networks.judged.values(), *self.networks.sample])
        lacking = ((one, [name for name in self.parts if name not in scores.get(one, {})]) for one in every)
        return [(one, tuple(names)) for one, names in lacking if names]

    def _report(self, folder: RunFolder, scores: Scores, seconds: dict[str, float]) -> None:
        """The table of scores, and how they go together with the accuracies."""
        networks = self.networks
        if not folder.read_only:
            _write_csv(folder.path / CSV, scores, networks.order)
        _log.info("%d networks: %s", len(networks.sample), folder.path / CSV)
        if networks.note:
            _log.info("%s", networks.note)
        if networks.accuracies is None:
            return
        each = {name: seconds[name] / sum(name in found for found in scores.values()) for name in self.parts}
        firsts: dict[str, int] = {}
        for number, one in enumerate(networks.sample):
            firsts.setdefault(self.settings.space.same_network(one), number)
        content: dict[str, Any] = self._correlate(range(len(networks.sample)), scores, each)
        content["seconds_each"] = each
        if len(firsts) < len(networks.sample):
            _log.info(
                "the %d of them that are distinct, the first of those that compute the same:", len(firsts)
            )
            content["distinct"] = self._correlate(list(firsts.values()), scores, each)
        if not folder.read_only:
            write_json(folder.path / CORRELATIONS, content)

    def _correlate(self, chosen: Sequence[int], scores: Scores, each: Mapping[str, float]) -> dict[str, Any]:
        """Log the correlations over some of the sample, by their numbers; what is written of them."""
        networks, content = self.networks, {}
        accuracies = networks.accuracies or {}
        _log.info("%-18s%s   seconds each", "", "".join(f"{name:>26}" for name in accuracies))
        _log.info("%-18s%s", "proxy", "       Spearman    Kendall" * len(accuracies))
        for proxy in self.asked:
            column = _column(proxy, [networks.sample[number] for number in chosen], scores)
            content[proxy.name] = {
                name: correlations(column, [held[number] for number in chosen])
                for name, held in accuracies.items()
            }
            told = list(content[proxy.name].values())
            cells = "".join(f"{_shown(one['spearman']):>15}{_shown(one['kendall']):>11}" for one in told)
            took = sum(each[part.name] for part in proxy.parts)
            unusable = told[0]["unusable"]
            note = f"   {unusable} without a usable score" if unusable else ""
            _log.info("%-18s%s   %10.3f s%s", proxy.name, cells, took, note)
        return {"networks": len(chosen), "correlations": content}

    def _judge(self, folder: RunFolder, scores: Scores) -> None:
        """Tell where the judged networks' scores stand among those of the sample."""
        sample, judged = self.networks.sample, self.networks.judged
        content: dict[str, dict[str, dict[str, int | None]]] = {name: {} for name in judged}
        for proxy in self.asked:
            others = [one for one in sample if one not in judged.values()]
            column = _column(proxy, [*judged.values(), *others], scores)
            for name, score in zip(judged, column):
                among = [other for other, one in zip(column[len(judged) :], others) if other < math.inf]
                content[name][proxy.name] = {"rank": rank(score, among), "of": len(among) + 1}
        _log.info("rank by each proxy among the sample, 1 the best: a rank by a proxy is no accuracy")
        for name, ranks in content.items():
            cells = [
                f"{proxy} {'-' if one['rank'] is None else one['rank']} of {one['of']}"
                for proxy, one in ranks.items()
            ]
            _log.info("%s: %s", name, ", ".join(cells))
        if not folder.read_only:
            write_json(folder.path / RANKS, content)

    def _compare(self, folder: RunFolder, published: Published, scores: Scores) -> None:
        """Tell how our scores go together with published ones, and both with the accuracies."""
        sample, accuracies = self.networks.sample, self.networks.accuracies or {}
        content = {}
        _log.info("compared with %s: Spearman, on the networks that it holds", published.path)
        titles = "".join(f"{name + ' ours':>21}{'theirs':>9}" for name in accuracies)
        _log.info("%-20s%10s%9s%s", "proxy", "networks", "both", titles)
        for proxy in self.asked:
            found = published.scores.get(proxy.name, {})
            held = [number for number, one in enumerate(sample) if one in found]
            ours = _column(proxy, [sample[number] for number in held], scores)
            pairs = [(number, score) for number, score in zip(held, ours) if score < math.inf]
            ours = [score for _, score in pairs]
            theirs = [proxy.signed(found[sample[number]]) for number, _ in pairs]
            told: dict[str, float | None] = {"both": correlations(ours, theirs)["spearman"]}
            for dataset, column in accuracies.items():
                some = [column[number] for number, _ in pairs]
                told[f"{dataset} ours"] = correlations(ours, some)["spearman"]
                told[f"{dataset} theirs"] = correlations(theirs, some)["spearman"]
            content[proxy.name] = {"networks": len(pairs), **told}
            if not found:
                _log.info("%-20s%10d  it has no score by this proxy", proxy.name, 0)
                continue
            widths = [9, *[21, 9] * len(accuracies)]
            cells = "".join(f"{_shown(one):>{width}}" for one, width in zip(told.values(), widths))
            _log.info("%-20s%10d%s", proxy.name, len(pairs), cells)
        if not folder.read_only:
            write_json(folder.path / COMPARED, {"with": str(published.path), "spearman": content})


def _compute(
    found: Iterable[Result], tasks: list[Task], journal: Journal, scores: Scores, seconds: dict[str, float]
) -> None:
    """Take the results of the tasks into the journal, the scores and the seconds."""
    done = sum(len(held) for held in scores.values())
    with Progress("scores", done + sum(len(names) for _, names in tasks), done) as progress:
        for architecture, result in found:
            for name, (score, took) in result.items():
                entry = {"architecture": architecture, "proxy": name, "score": json_score(score)}
                journal.append({**entry, "seconds": round(took, 4)})
                scores.setdefault(architecture, {})[name] = score
                seconds[name] = seconds.get(name, 0.0) + took
                progress.step(f"{name} {score:.4g}")


def _column(proxy: Proxy, genotypes: Sequence[str], scores: Scores) -> list[float]:
    """A proxy's scores, the higher the better; a combination's compare all that are given."""
    columns = [[part.signed(scores[one][part.name]) for one in genotypes] for part in proxy.parts]
    return proxy.combine(columns)


def _write_csv(path: Path, scores: Scores, order: Sequence[str]) -> None:
    """Write all that was ever scored, whatever is asked for now; a proxy that is missing leaves a gap."""
    names = list(dict.fromkeys(name for found in scores.values() for name in found))
    listed = [one for one in dict.fromkeys([*order, *scores]) if one in scores]
    rows = [[one, *(scores[one].get(name, "") for name in names)] for one in listed]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["architecture", *names], *rows])
    write_text(path, text.getvalue())


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


def _shown(correlation: float | int | None) -> str:
    return "-" if correlation is None else f"{correlation:.3f}"
