"""Searches of several seeds, orders and proxies, validated with several N and V: what can be is shared.

A pool of N holds all smaller ones, and so does its validation; another V is a validation of its own.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foresight_ext.devices import Compute
from foresight_ext.images.source import ImageSource, OpenedOnce
from foresight_ext.measures.combination import proxy_of
from foresight_ext.parallel.workers import ALONE, FOLDER, Workers
from foresight_ext.runs.config import CONFIG, compare_settings, read_config
from foresight_ext.runs.folder import Place, start_afresh
from foresight_ext.runs.journal import Journal
from foresight_ext.runs.progress import Progress, in_words
from foresight_ext.runs.results import BEST, POOL, read_own
from foresight_ext.search.journal import read_rows
from foresight_ext.search.run import SearchRun
from foresight_ext.search.settings import SearchSettings
from foresight_ext.search.validation import best_genotype, combined, summed

# the V of a run that validates: another V is a folder of its own
_USUAL = SearchSettings.validate_rounds

# a run, and the V's that its pool is validated with
Asked = tuple[SearchRun, Sequence[int]]

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
    run, rounds = _whole(run, rounds)
    run.run()
    validations = {}
    for number in rounds:
        if number == _USUAL:
            validations[number] = run.path
            continue
        settings, place = _further(run, number)
        one = SearchRun(
            run.space, run.images, settings, place, run.compute, "validation", run.lookup, run.workers
        )
        one.run()
        validations[number] = one.path
    entries = Journal(run.path / "search.jsonl", read_only=True).entries
    return Searched(run.settings, run.path, read_own(run.path / POOL), entries, validations)


def _whole(run: SearchRun, rounds: Sequence[int]) -> tuple[SearchRun, Sequence[int]]:
    """The run that searches, and validates if the usual V is among those asked for; and these."""
    rounds = rounds if run.settings.pool_size > 1 else ()
    size, config = run.settings.pool_size, run.path / CONFIG
    if config.is_file() and not run.place.force:
        there = read_config(run.path)["settings"].get("pool_size")
        size = max(size, there) if isinstance(there, int) else size
    settings = replace(run.settings, pool_size=size, validate_rounds=_USUAL)
    stage = "all" if _USUAL in rounds else "search"
    one = SearchRun(run.space, run.images, settings, run.place, run.compute, stage, run.lookup, run.workers)
    return one, rounds


def _further(run: SearchRun, number: int) -> tuple[SearchSettings, Place]:
    """How a pool is validated with another V, and where."""
    settings = run.settings
    save = f"{run.place.save}-N{settings.pool_size}V{number}-{settings.edge_decision}"
    given = replace(settings, pool=run.path / POOL, validate_rounds=number)
    return given, replace(run.place, save=save)


def _folders(run: SearchRun, rounds: Sequence[int]) -> list[Path]:
    """Where a search and its validations are."""
    further = [_further(run, number) for number in rounds if number != _USUAL]
    names = [settings.run_name(place.save, run.images.dataset) for settings, place in further]
    return [run.path, *(run.path.with_name(name) for name in names)]


def _missing(run: SearchRun, rounds: Sequence[int]) -> bool:
    """Whether anything of a search and its validations is left to compute."""
    run, rounds = _whole(run, rounds)
    _, *validations = _folders(run, rounds)
    return not (run.finished and all((folder / BEST).is_file() for folder in validations))


def swept(asked: Sequence[Asked], workers: Workers, folder: Path) -> Iterator[Searched]:
    """`searched` for each of several runs, with how far it is and about how long it will take.

    What is asked wrongly is told first. `workers` have a run each where there are enough of these, as a
    cluster always has, which keeps its jobs in `folder`; else they share the work of one run after another.
    Data sets are opened once for all that read them.
    """
    opened: dict[ImageSource, OpenedOnce] = {}
    for run, _ in asked:
        run.images = opened.setdefault(run.images, OpenedOnce(run.images))
        run.workers = replace(workers, cluster=None)
    compute, device, _ = workers.choose(asked[0][0].compute)
    if workers.cluster is not None:
        for run, _ in asked:  # this process only reads what jobs have found
            run.compute = Compute.of(device)
    missing = _checked(asked, workers)
    forced = [path for run, rounds in missing if run.place.force for path in _folders(*_whole(run, rounds))]
    for path in forced:
        start_afresh(path)
    if forced:
        shutil.rmtree(folder / FOLDER, ignore_errors=True)  # jobs that compute what is not wanted any more
    for run, _ in asked:
        run.place = replace(run.place, force=False)
    if missing and (workers.cluster is not None or 1 < workers.processes <= len(missing)):
        _search_together(missing, workers, compute, folder)
    yield from _one_by_one(asked)


def _checked(asked: Sequence[Asked], workers: Workers) -> list[Asked]:
    """Those that have something left to compute; UserError for what is asked wrongly or can't be had."""
    for run, rounds in asked:
        whole, _ = _whole(run, rounds)
        if (run.path / CONFIG).is_file() and not run.place.force:
            compare_settings(run.path, whole.recorded())
        whole.check()
    missing = [one for one in asked if _missing(*one)]
    if missing:
        workers.check()
    return missing


def _one_by_one(asked: Sequence[Asked]) -> Iterator[Searched]:
    start, computed = time.monotonic(), 0
    for number, (run, rounds) in enumerate(asked):
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


def _search_together(asked: Sequence[Asked], workers: Workers, compute: Compute, folder: Path) -> None:
    """Let each process, or each job of a cluster, have some of the runs."""
    folder.mkdir(parents=True, exist_ok=True)
    inside = ALONE if workers.cluster is None else replace(workers, cluster=None)
    tasks: dict[str, list[Asked]] = {}
    for run, rounds in asked:
        one = copy(run)
        one.compute, one.workers = compute, inside
        tasks.setdefault(str(run.path), []).append((one, rounds))
    outside = workers if workers.cluster is None else replace(workers, processes=1)
    _log.info("%d searches in %s; how far each is, its log.txt says", len(tasks), workers)
    while left := [path for path, some in tasks.items() if any(_missing(*one) for one in some)]:
        # jobs of before may have been asked for something else
        results = outside.results(_Searches(tasks), left, folder, "searches")
        with closing(results), Progress("searches", len(tasks), len(tasks) - len(left)) as progress:
            for path in results:
                progress.step(Path(path).name)


@dataclass(frozen=True)
class _Searches:
    """Makes, in each process, what searches: a task is the path of a run folder."""

    tasks: Mapping[str, Sequence[Asked]]

    def __call__(self) -> Callable[[str], str]:
        return self._search

    def _search(self, path: str) -> str:
        for run, rounds in self.tasks.get(path, ()):  # none: what an earlier command asked for
            searched(run, rounds)
        return path
