"""Searches of several seeds, orders and proxies, validated with several N and V: what can be is shared.

A pool of N holds all smaller ones, and so does its validation; another V is a validation of its own.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foresight_ext.images.source import ImageSource, OpenedOnce
from foresight_ext.measures.combination import proxy_of
from foresight_ext.runs.config import CONFIG, read_config
from foresight_ext.runs.journal import Journal
from foresight_ext.runs.progress import in_words
from foresight_ext.runs.results import POOL, read_own
from foresight_ext.search.journal import read_rows
from foresight_ext.search.run import SearchRun
from foresight_ext.search.settings import SearchSettings
from foresight_ext.search.validation import best_genotype, combined, summed

# the V of a run that validates: another V is a folder of its own
_USUAL = SearchSettings.validate_rounds

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Searched:
    """A pool that was searched with `settings`, in the run folder `path`.

    `entries` are its decisions as they stand in search.jsonl; `validations` are the folders of its
    validations by their V.
    """

    settings: SearchSettings
    path: Path
    pool: list[str]
    entries: list[dict[str, Any]]
    validations: dict[int, Path]

    def winner(self, pool_size: int, rounds: int) -> tuple[str, float, float]:
        """What the first `pool_size` members come to with V = `rounds`.

        The genotype, and the seconds of search and validation. One member alone is not validated.
        """
        pool = self.pool[:pool_size]
        search = sum(entry["seconds"] for entry in self.entries if entry["member"] < pool_size)
        if pool_size == 1:
            return pool[0], search, 0.0
        journal = Journal(self.validations[rounds] / "validation.jsonl", read_only=True)
        proxy = proxy_of(self.settings.metrics, self.settings.combine)
        rows = read_rows(journal, [part.name for part in proxy.parts], list(dict.fromkeys(self.pool)))
        sums = {genotype: summed(rows[genotype]) for genotype in dict.fromkeys(pool)}
        seconds = sum(entry["seconds"] for entry in journal.entries if entry["genotype"] in sums)
        return best_genotype(combined(proxy, sums)), search, seconds


def searched(run: SearchRun, rounds: Sequence[int]) -> Searched:
    """Search the pool of a run and validate it with each V of `rounds`; what is there is not computed again.

    A run that is there with a larger pool will do. UserError as SearchRun raises it.
    """
    size, config = run.settings.pool_size, run.path / CONFIG
    if config.is_file() and not run.place.force:
        there = read_config(run.path)["settings"].get("pool_size")
        size = max(size, there) if isinstance(there, int) else size
    settings = replace(run.settings, pool_size=size, validate_rounds=_USUAL)
    rounds = rounds if run.settings.pool_size > 1 else ()

    def part(settings: SearchSettings, save: str, stage: str) -> Path:
        place = replace(run.place, save=save)
        one = SearchRun(run.space, run.images, settings, place, run.compute, stage, run.lookup, run.workers)
        one.run()
        return one.path

    path = part(settings, run.place.save, "all" if _USUAL in rounds else "search")
    validations = {}
    for number in rounds:
        save = f"{run.place.save}-N{size}V{number}-{settings.edge_decision}"
        given = replace(settings, pool=path / POOL, validate_rounds=number)
        validations[number] = path if number == _USUAL else part(given, save, "validation")
    entries = Journal(path / "search.jsonl", read_only=True).entries
    return Searched(settings, path, read_own(path / POOL), entries, validations)


def swept(asked: Sequence[tuple[SearchRun, Sequence[int]]]) -> Iterator[Searched]:
    """`searched` for each of several runs, with how far it is and about how long it will take.

    Data sets are opened once for all that read them.
    """
    opened: dict[ImageSource, OpenedOnce] = {}
    start, computed = time.monotonic(), 0
    for number, (run, rounds) in enumerate(asked):
        run.images = opened.setdefault(run.images, OpenedOnce(run.images))
        left = ""
        if computed:
            each = (time.monotonic() - start) / computed
            left = f", about {in_words(each * (len(asked) - number))} to go"
        one = run.settings
        what = f"{run.space.name}, seed {one.seed}, {','.join(one.metrics)}, {one.edge_decision}"
        _log.info("")
        _log.info("search %d of %d%s: %s", number + 1, len(asked), left, what)
        before = time.monotonic()
        yield searched(run, rounds)
        took = time.monotonic() - before
        if took > 1:
            computed += 1
        else:  # what was there before says nothing of the others
            start += took
