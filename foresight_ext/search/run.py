"""A run of search and validation for any space: its folder, its stages, what it found."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from foresight_ext.devices import Compute, threads_set
from foresight_ext.errors import UserError
from foresight_ext.images.batches import Images, digest
from foresight_ext.images.source import ImageSource
from foresight_ext.measures.combination import proxy_of
from foresight_ext.parallel.workers import ALONE, Workers
from foresight_ext.randomness import seeded
from foresight_ext.runs.config import CONFIG, compare_data, compare_settings, data_moved
from foresight_ext.runs.folder import Place
from foresight_ext.runs.progress import in_words
from foresight_ext.runs.results import BEST, POOL, check_pool, read_own, write_best, write_pool
from foresight_ext.search.costs import Sizes
from foresight_ext.search.given import GivenPool
from foresight_ext.search.journal import decided_mixings, read_decisions, read_rows
from foresight_ext.search.limits import Limits, measurable, measured_of
from foresight_ext.search.report import NO_BENCHMARK, Found, Lookup, report, report_pool
from foresight_ext.search.search_stage import search_pool
from foresight_ext.search.settings import SearchSettings
from foresight_ext.search.space import Space
from foresight_ext.search.stage import Stage, counted
from foresight_ext.search.validation import Row, combined, summed
from foresight_ext.search.validation_stage import validate_pool
from foresight_ext.supernets.supernet import Supernet

_log = logging.getLogger(__name__)


class SearchRun:
    """One run of one space on the training images of a data set. `stage` is all, search or validation.

    A space without validation ends with its pool. A pool that the settings give is validated as it is.
    UserError if it can't be.
    """

    def __init__(
        self,
        space: Space,
        images: ImageSource,
        settings: SearchSettings,
        place: Place,
        compute: Compute,
        stage: str = "all",
        lookup: Lookup = NO_BENCHMARK,
        workers: Workers = ALONE,
    ):
        self.space = space
        self.images = images
        self.settings = settings
        self.place = place
        self.compute = compute
        self.stage = "search" if stage == "all" and not space.validates else stage
        self.lookup = lookup
        self.workers = workers
        self.proxy = proxy_of(settings.metrics, settings.combine)
        self._parts = tuple(part.name for part in self.proxy.parts)
        self._given: GivenPool | None = None
        if settings.pool is not None:
            if self.stage in ("all", "search"):
                told = f"--stage {self.stage} searches a pool of its own: use --stage validation"
                raise UserError(f"--pool {settings.pool}: {told}")
            if settings.at_most:
                raise UserError("--at_most limits a search: leave it out where --pool gives the networks")
            self._given = GivenPool.read(settings.pool, space)

    @property
    def path(self) -> Path:
        """The run's folder, which `run` makes."""
        name = self.settings.run_name(self.place.save, self.images.dataset)
        return self.place.out / self.space.name / name

    def run(self) -> str | None:
        """Run the stage and report; the winner's genotype, None where only the pool was searched.

        UserError for what is asked wrongly, before anything is made or emptied.
        """
        self.check()
        self.device, why = self.compute.choose()
        path, finished = self.path, self.finished
        with threads_set(self.compute.threads), self.place.open(path, self.recorded(), why) as self.folder:
            settings = self.settings
            _log.info("%s on %s, seed %d, on %s", self.space.name, self.images.dataset, settings.seed, why)
            if self.lookup.answer is None and self.lookup.no_answer:
                missing = "no benchmark: test accuracy and rank will be missing; %s"
                _log.info(missing, self.lookup.no_answer)
            if self._given is not None:
                self._tell(self._given)
            if not finished:
                self.folder.must_write()
            if not finished or data_moved(path, self.images.root):
                self.folder.same_data(self.images.root, train=self.data.described())
            if finished:
                _log.info("finished before, nothing to compute: --force would start afresh")
            return self._stages()

    @property
    def finished(self) -> bool:
        """Whether its results are there, and are not to be overwritten."""
        results = [POOL] if self.stage == "search" else [POOL, BEST]
        return not self.place.force and all((self.path / name).is_file() for name in results)

    def check(self) -> None:
        """UserError for what is asked wrongly, or can't be had; nothing is made or emptied."""
        self._check_settings()
        device, _ = self.compute.choose()
        if self.finished:
            return
        self.space.check(self.data, device)
        if self._given is None and (self.place.force or not (self.path / POOL).is_file()):
            _ = self._limits

    def compare(self) -> None:
        """UserError that shows the difference if the run in `path` has other settings or other images."""
        remedy = "--stage training goes on with the run as it is"
        compare_settings(self.path, self.recorded(), remedy)
        if data_moved(self.path, self.images.root):
            compare_data(self.path, self.images.root, {"train": self.data.described()}, remedy)

    def recorded(self) -> dict[str, Any]:
        """All that makes the result, for config.json."""
        mine = {"search_space": self.space.name, **self.images.settings(), **self.settings.as_written()}
        if self._given is not None:
            mine["pool_networks"] = self._given.recorded
        return {**mine, **self.limited_costs(), **self.space.settings()}

    def limited_costs(self) -> dict[str, Any]:
        """What tells the measured costs that limit the run from others of their names, for config.json."""
        told = {}
        for name in self.settings.at_most:
            if costs := self.space.measured.get(name):
                told[name] = digest(f"{genotype} {cost!r}" for genotype, cost in sorted(costs.items()))
        return {"measured": told} if told else {}

    def _tell(self, given: GivenPool) -> None:
        _log.info("the pool: %s of %s", counted(len(given.genotypes), "network"), self.settings.pool)
        if given.dataset and given.dataset.lower() != self.images.dataset:
            what = "the pool was searched on %s, and is validated on %s"
            _log.info(what, given.dataset, self.images.dataset)

    def _check_settings(self) -> None:
        for part in self.proxy.parts:
            if self.settings.batch_size < part.least_images:
                what = f"--batch_size {self.settings.batch_size}: {part.name}"
                raise UserError(f"{what} needs {part.least_images} images or more")
        if self.stage == "validation":
            if not self.space.validates:
                raise UserError(f"--stage validation: the space {self.space.name} has no validation")
            if self._given is None:
                self._check_pool_there()

    def _check_pool_there(self) -> None:
        pool = self.path / POOL
        if self.place.force:
            raise UserError("--force deletes the pool that --stage validation needs: leave one of them out")
        if not pool.is_file():
            first = "run --stage search first, or give a pool by --pool FILE"
            raise UserError(f"--stage validation: {self.path} has no {POOL}: {first}")
        if not (self.path / CONFIG).is_file():
            raise UserError(f"--stage validation: {pool} belongs to no run: give it by --pool {pool}")

    def _stages(self) -> str | None:
        pool = self._search()
        if self.stage == "search":
            _log.info("search took %s", in_words(self.folder.journal("search").seconds))
            report_pool(pool, self.lookup)
            _log.info("the pool: %s", self.folder.path / POOL)
            return None
        best, sums = self._validate(pool)
        stages = ("search", "validation") if self._given is None else ("validation",)
        seconds = {stage: self.folder.journal(stage).seconds for stage in stages}
        found = Found(best, pool, combined(self.proxy, sums), sums, self._parts, seconds)
        into, write = self.folder.path, not self.folder.read_only
        report(into, self.space, self.images.dataset, self.settings, found, self.lookup, write)
        return best

    @cached_property
    def data(self) -> Images:
        """The training images, opened when a stage first needs them."""
        data = self.images.open("train")
        if len(data) < 2:
            raise UserError(
                f"--dataset {self.images.dataset}: 2 training images are needed, there is {len(data)}"
            )
        return data

    @cached_property
    def _limits(self) -> Limits | None:
        """What the settings limit; UserError if no network is within that."""
        limits = self.settings.at_most
        if not limits:
            return None
        with self.naming_the_option():
            return Limits(*self.measurable, limits, measured=measured_of(self.space))

    @cached_property
    def measurable(self) -> tuple[Supernet, Sizes]:
        """A supernet of the space, and what tells the sizes of its architectures."""
        return measurable(self.space, self.data)

    @contextmanager
    def naming_the_option(self) -> Iterator[None]:
        """What is said of limits is said of their option."""
        try:
            yield
        except UserError as error:
            raise UserError(f"--{error}") from error

    def _stage(self) -> Stage:
        """What a stage that has something to compute is given."""
        given = self.space, self.proxy, self.settings, self.images, self.data
        return Stage(*given, self.folder, self.device, self.workers)

    def _search(self) -> list[str]:
        """The pool's genotypes; computes what the journal does not hold yet."""
        path, given = self.folder.path / POOL, self._given
        if path.is_file():
            there = read_own(path)
            if given is None:
                check_pool(path, there, self._journalled_pool(), "search.jsonl")
            else:
                check_pool(path, there, given.genotypes, f"--pool {self.settings.pool}")
            return there
        if given is not None:
            dataset = given.dataset or self.images.dataset
            write_pool(self.folder.path, self.space.name, dataset, given.genotypes)
            return given.genotypes
        pool = search_pool(self._stage(), self._limits)
        write_pool(self.folder.path, self.space.name, self.images.dataset, pool)
        return pool

    def _journalled_pool(self) -> list[str]:
        """The genotypes that the journal's decisions come to."""
        with seeded(0):
            supernet = self.space.build_supernet(2)  # its choices are the same whatever the classes
        done = read_decisions(self.folder.journal("search"), supernet)
        return [self.space.genotype(mixing) for mixing in decided_mixings(done, supernet)]

    def _validate(self, pool: list[str]) -> tuple[str, dict[str, Row]]:
        """The winner, and the summed scores of each distinct genotype; computes what is missing."""
        path = self.folder.path / BEST
        done = read_rows(self.folder.journal("validation"), self._parts, list(dict.fromkeys(pool)))
        if path.is_file() and all(done.values()):
            [best] = read_own(path)
            return best, {genotype: summed(rows) for genotype, rows in done.items()}
        self.folder.must_write()
        best, sums = validate_pool(self._stage(), pool, done)
        write_best(self.folder.path, self.space.name, self.images.dataset, best)
        return best, sums
