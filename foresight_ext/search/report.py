"""What a search found, for people and for files: summary.json, drawings, the table of scores."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foresight_ext.drawing import save_drawing, text_drawing
from foresight_ext.errors import UserError
from foresight_ext.files import write_json
from foresight_ext.runs.folder import LOG
from foresight_ext.runs.journal import json_score
from foresight_ext.runs.progress import in_words
from foresight_ext.runs.results import BEST, POOL, SUMMARY
from foresight_ext.search.settings import SearchSettings
from foresight_ext.search.space import Space
from foresight_ext.search.validation import Row

_MOST_SHOWN = 100  # of a pool's networks
PICTURES = (".svg", ".png")

_log = logging.getLogger(__name__)

# what a benchmark says of a genotype: data set -> accuracy (percent), rank, regret, of
Answer = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Lookup:
    """A space's benchmark. `answer` looks a genotype up (UserError if it lacks it); None if there is none.

    `no_answer` then says what to do about it; it is empty for spaces without a benchmark.
    """

    answer: Callable[[str], Answer] | None = None
    no_answer: str = ""

    def of(self, genotype: str) -> tuple[Answer | None, str]:
        """What the benchmark says, or why it says nothing."""
        if self.answer is None:
            return None, self.no_answer and f"no benchmark: no test accuracy and no rank; {self.no_answer}"
        try:
            return self.answer(genotype), ""
        except UserError as error:
            return None, f"no test accuracy and no rank: {error}"


NO_BENCHMARK = Lookup()


@dataclass(frozen=True)
class Found:
    """What search and validation came to.

    `totals` are the pool's distinct genotypes with their scores, `sums` those of the proxy's `parts`, and
    `seconds` those of each stage.
    """

    best: str
    pool: Sequence[str]
    totals: dict[str, float]
    sums: dict[str, Row]
    parts: Sequence[str]
    seconds: dict[str, float]


def report(
    path: Path,
    space: Space,
    dataset: str,
    settings: SearchSettings,
    found: Found,
    lookup: Lookup,
    write: bool = True,
) -> None:
    """Log what a person wants to know; `write` the summary and the drawings into the run folder `path`."""
    answer, no_answer = lookup.of(found.best)
    if write:
        _write_summary(path, space, dataset, settings, found, answer)
        _draw(path, space, found.best)
    _tell_architecture(space, found.best)
    _log.info("")
    _log.info("%12s  %5s  network", "score", "found")
    # usable scores first: the best, the others, then what is never chosen
    totals, times = found.totals, Counter(found.pool)
    ranked = sorted(totals, key=lambda one: -totals[one] if totals[one] < math.inf else math.inf)
    for genotype in ranked[:_MOST_SHOWN]:
        _log.info("%12.4f  %4dx  %s", totals[genotype], times[genotype], genotype)
    if len(ranked) > _MOST_SHOWN:
        _log.info("and %d more, in %s", len(ranked) - _MOST_SHOWN, SUMMARY)
    _log.info("")
    _tell_accuracy(answer, no_answer)
    _tell_measured(space, found.best)
    for stage, value in found.seconds.items():
        _log.info("%s took %s", stage, in_words(value))
    _log.info("in the run folder: %s, %s, tensorboard/", POOL, _files(path))


def report_baseline(
    path: Path,
    space: Space,
    dataset: str,
    genotype: str,
    sizes: Mapping[str, float],
    lookup: Lookup,
    write: bool = True,
) -> None:
    """The same of an architecture that nothing was scored for, with its sizes."""
    answer, no_answer = lookup.of(genotype)
    if write:
        head = {"search_space": space.name, "dataset": dataset, "genotype": genotype, "sizes": dict(sizes)}
        write_json(path / SUMMARY, {**head, **_measured(space, genotype), **_accuracy(answer)})
        _draw(path, space, genotype)
    _tell_architecture(space, genotype)
    _log.info("")
    for name, size in sizes.items():
        _log.info("%s: %s", name, f"{size:,.0f}")
    _tell_measured(space, genotype)
    _tell_accuracy(answer, no_answer)
    _log.info("in the run folder: %s", _files(path))


def _files(path: Path) -> str:
    pictures = sorted(p.name for p in path.iterdir() if p.suffix in PICTURES)
    return ", ".join([BEST, SUMMARY, *pictures, LOG])


def _tell_architecture(space: Space, genotype: str) -> None:
    _log.info("")
    _log.info("architecture: %s", genotype)
    if pasted := space.to_paste(genotype):
        _log.info("to paste: %s", pasted)
    for cell in space.cells(genotype):
        _log.info("%s", text_drawing(cell).rstrip())


def _tell_accuracy(answer: Answer | None, no_answer: str) -> None:
    for name, held in (answer or {}).items():
        _log.info(
            "%s: %.2f%% test accuracy, rank %d of %d, %.2f below the best",
            name,
            held["accuracy"],
            held["rank"],
            held["of"],
            held["regret"],
        )
    if no_answer:
        _log.info("%s", no_answer)


def _measured(space: Space, genotype: str) -> dict[str, Any]:
    """For the summary: the measured costs, null where one is not known; nothing where there are none."""
    costs = {name: column.get(genotype) for name, column in space.measured.items()}
    return {"measured": costs} if costs else {}


def _tell_measured(space: Space, genotype: str) -> None:
    for costs in _measured(space, genotype).values():
        known = {name: cost for name, cost in costs.items() if cost is not None}
        _log.info(
            "measured: %s", ", ".join(f"{name} {cost:,.6g}" for name, cost in known.items()) or "nothing"
        )


def _accuracy(answer: Answer | None) -> dict[str, Any]:
    """For the summary: what the benchmark says."""
    return {
        "test_accuracy": answer and {name: held["accuracy"] for name, held in answer.items()},
        "rank": answer and {name: held["rank"] for name, held in answer.items()},
    }


def report_pool(pool: Sequence[str], lookup: Lookup) -> None:
    """Log what the benchmark, if any, says of the pool's networks, and how often each was found."""
    if lookup.answer is None:
        return
    for genotype, count in Counter(pool).items():
        answer, no_answer = lookup.of(genotype)
        for name, held in (answer or {}).items():
            told = f"{held['accuracy']:.2f}% test accuracy, rank {held['rank']} of {held['of']}"
            _log.info("found %dx: %s: %s: %s", count, genotype, name, told)
        if no_answer:
            _log.info("%s: %s", genotype, no_answer)


def _write_summary(
    path: Path, space: Space, dataset: str, settings: SearchSettings, found: Found, answer: Answer | None
) -> None:
    write_json(
        path / SUMMARY,
        {
            "search_space": space.name,
            "dataset": dataset,
            "seed": settings.seed,
            **settings.proxies,
            "edge_decision": settings.as_written().get("edge_decision"),
            "genotype": found.best,
            "scores": {genotype: json_score(total) for genotype, total in found.totals.items()},
            **_part_scores(found),
            "seconds": {stage: round(value, 3) for stage, value in found.seconds.items()},
            **_measured(space, found.best),
            **_accuracy(answer),
        },
    )


def _draw(path: Path, space: Space, genotype: str) -> None:
    """The drawings that are missing."""
    for cell in space.cells(genotype):
        for suffix in PICTURES:
            file = path / f"{cell.name.lower().replace(' ', '-')}{suffix}"
            if not file.is_file():
                save_drawing(cell, file)


def _part_scores(found: Found) -> dict[str, Any]:
    """For the summary: of several proxies, each one's summed scores, such that higher is better."""
    if len(found.parts) < 2:
        return {}
    columns = zip(*found.sums.values())
    rows = [dict(zip(found.sums, map(json_score, column))) for column in columns]
    return {"part_scores": dict(zip(found.parts, rows))}
