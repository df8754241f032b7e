"""A run of search and validation for any space: its folder, its stages, what it found."""

import logging
import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from foresight_ext.devices import Compute, threads_set
from foresight_ext.drawing import drawing_image
from foresight_ext.errors import UserError
from foresight_ext.images.batches import Images, digest
from foresight_ext.images.source import ImageSource
from foresight_ext.measures.combination import proxy_of
from foresight_ext.measures.watching import Unusable, watched
from foresight_ext.parallel.workers import ALONE, Workers
from foresight_ext.randomness import seeded
from foresight_ext.runs.board import tensorboard
from foresight_ext.runs.config import CONFIG, compare_data, compare_settings, data_moved
from foresight_ext.runs.folder import Place
from foresight_ext.runs.progress import Progress, in_words
from foresight_ext.runs.results import BEST, POOL, check_pool, read_own, write_best, write_pool
from foresight_ext.search.choosing import NoScore
from foresight_ext.search.costs import Sizes, in_figures
from foresight_ext.search.given import GivenPool
from foresight_ext.search.journal import (
    choices_by_name,
    decided_mixings,
    read_decisions,
    read_rows,
    scored,
    told,
    written,
    written_row,
)
from foresight_ext.search.limits import Limits, measurable, measured_of
from foresight_ext.search.members import Member, MemberWork, forget, left_behind
from foresight_ext.search.orders import ORDERS, Decision, Order, Pruning
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.report import NO_BENCHMARK, Found, Lookup, report, report_pool
from foresight_ext.search.settings import SearchSettings
from foresight_ext.search.space import Space
from foresight_ext.search.validation import (
    Row,
    ValidationWork,
    best_genotype,
    combined,
    summed,
)
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
        _log.info("the pool: %s of %s", _counted(len(given.genotypes), "network"), self.settings.pool)
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

    # ---- search ----

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
        settings, data = self.settings, self.data
        images = self.space.search_images(len(data))
        if settings.batch_size > images:
            _log.info(
                "search: minibatches have %s, %s of the training images, not the %d asked for",
                _counted(images, "image"),
                "half" if images < len(data) else "all",
                settings.batch_size,
            )
        order = ORDERS.get(settings.edge_decision)
        unusable = Unusable("search")
        proxy = watched(self.proxy, unusable)
        search = PoolSearch(self.space, data, proxy, order, settings.seed, settings.batch_size, self.device)
        if self._limits is not None:
            search.allowed = self._limits
            most = ", ".join(f"{name} {in_figures(number)}" for name, number in self._limits.most.items())
            _log.info("search: networks have at most %s", most)
        supernet = search.supernet
        steps = len(supernet.choices) + len(supernet.nodes)
        self.folder.keep_choices(choices_by_name(supernet))
        journal = self.folder.journal("search")
        done = read_decisions(journal, supernet)
        progress = Progress("search", settings.pool_size * steps, len(journal.entries))
        if journal.entries:
            _log.info("search: going on after %d of %d decisions", progress.done, progress.total)
        else:
            many = _counted(settings.pool_size, "discretisation")
            _log.info("search: %s of %s", many, _counted(steps, "decision"))
        pool: list[str] = []
        ties = _Ties(self.proxy.name)
        with tensorboard(self.folder.path) as board, progress:

            def show(member: int, decision: Decision | Pruning) -> None:
                what, names = scored(decision, supernet)
                for name, score in zip(names, decision.scores or ()):
                    board.add_scalar(f"{what}/{name}", score, member)

            # TensorBoard writes late: some of what an earlier process scored may not be in its file
            for member, decisions in done.items():
                for decision in decisions:
                    show(member, decision)

            def take(member: int, decision: Decision | Pruning, seconds: float) -> None:
                journal.append({"member": member, **written(decision, supernet), "seconds": seconds})
                show(member, decision)
                ties.look_at(decision, supernet)
                progress.step(told(decision, supernet))

            def end(member: int, genotype: str, decisions: int) -> None:
                progress.skip(steps - decisions)
                if len(done.get(member, ())) < decisions:
                    _log.info("search: member %d is %s", member, genotype)
                forget(self.folder.path, member)
                pool.append(genotype)

            processes = self._processes_for_members(order)
            if processes > 1:
                with closing(self._members(order, done, processes)) as members:
                    for member, found in enumerate(members):
                        unusable.member = member
                        unusable.add(found.seen, self.proxy.parts)
                        for decision, seconds in found.fresh:
                            take(member, decision, round(seconds / processes, 4))  # as they add up
                        end(member, found.genotype, len(done.get(member, ())) + len(found.fresh))
            else:
                for member in range(settings.pool_size):
                    clock, unusable.member = _Clock(), member
                    before = [*done.get(member, ())]
                    for decision, seconds in left_behind(self.folder.path, member, supernet, before):
                        take(member, decision, seconds)
                        before.append(decision)

                    def keep(
                        decision: Decision | Pruning, member: int = member, clock: _Clock = clock
                    ) -> None:
                        take(member, decision, clock.lap())

                    draws = search.draw(pool[-1] if pool else None)
                    genotype, decisions = search.discretise(draws, before, keep)
                    end(member, genotype, len(decisions))
        unusable.tell()
        write_pool(self.folder.path, self.space.name, self.images.dataset, pool)
        return pool

    def _processes_for_members(self, order: Order) -> int:
        """How many processes can discretise members at the same time."""
        processes = min(self.workers.processes, self.settings.pool_size)
        if processes > 1 and not self.space.members_apart:
            _log.info("search: in one process: what a member draws depends on the one before")
            return 1
        return processes if order.scores else 1

    def _members(
        self, order: Order, done: dict[int, list[Decision | Pruning]], processes: int
    ) -> Generator[Member, None, None]:
        """The pool's members in their order, from several processes."""
        settings = self.settings
        work = MemberWork(
            self.space,
            self.proxy,
            order,
            self.images,
            Compute.of(self.device),
            settings.seed,
            settings.batch_size,
            settings.at_most,
            self.folder.path,
        )
        tasks = [(member, done.get(member, [])) for member in range(settings.pool_size)]
        return replace(self.workers, processes=processes).results(work, tasks, self.folder.path, "members")

    def _journalled_pool(self) -> list[str]:
        """The genotypes that the journal's decisions come to."""
        with seeded(0):
            supernet = self.space.build_supernet(2)  # its choices are the same whatever the classes
        done = read_decisions(self.folder.journal("search"), supernet)
        return [self.space.genotype(mixing) for mixing in decided_mixings(done, supernet)]

    # ---- validation ----

    def _validate(self, pool: list[str]) -> tuple[str, dict[str, Row]]:
        """The winner, and the summed scores of each distinct genotype; computes what is missing."""
        path = self.folder.path / BEST
        journal = self.folder.journal("validation")
        distinct = list(dict.fromkeys(pool))
        done = read_rows(journal, self._parts, distinct)
        if path.is_file() and all(done.values()):
            [best] = read_own(path)
            return best, {genotype: summed(rows) for genotype, rows in done.items()}
        self.folder.must_write()
        settings, data = self.settings, self.data
        images = min(settings.validate_rounds * settings.batch_size, len(data))
        rounds = math.ceil(images / settings.batch_size)
        if images < settings.validate_rounds * settings.batch_size:
            _log.info(
                "validation: %s of %s would take more than the %d training images: %s hold them all",
                _counted(settings.validate_rounds, "minibatch"),
                _counted(settings.batch_size, "image"),
                len(data),
                rounds,
            )
        progress = Progress("validation", len(distinct) * rounds, len(journal.entries))
        if journal.entries:
            _log.info("validation: going on after %d of %d minibatches", progress.done, progress.total)
        else:
            networks = _counted(len(distinct), "distinct network")
            _log.info("validation: %s, %s each", networks, _counted(rounds, "minibatch"))
        before = {genotype: len(rows) for genotype, rows in done.items()}

        def left() -> Iterator[tuple[str, int]]:
            return ((one, number) for one in distinct for number in range(before[one], rounds))

        work = ValidationWork(
            self.space,
            pool,
            self.proxy,
            self.images,
            Compute.of(self.device),
            settings.seed,
            settings.validate_rounds,
            settings.batch_size,
            data,
        )
        several, clock = len(self._parts) > 1, _Clock()
        index = {genotype: number for number, genotype in enumerate(distinct)}
        unusable = Unusable("validation")
        results = self.workers.results(work, left(), self.folder.path, "minibatches")
        with tensorboard(self.folder.path) as board, progress, closing(results):

            def show(genotype: str) -> Row:
                row = summed(done[genotype])
                if not several:
                    board.add_scalar("pool_scores", row[0], index[genotype])
                return row

            for genotype in distinct:
                if before[genotype] >= rounds:
                    show(genotype)
            for row, (genotype, number) in zip(results, left()):
                for part, score in zip(self.proxy.parts, row):
                    unusable.look_at(part, f"{genotype}, minibatch {number + 1}", score)
                scores = written_row(row, self._parts)
                journal.append({"genotype": genotype, **scores, "seconds": clock.lap()})
                progress.step(self._told(row))
                done[genotype].append(row)
                if number + 1 == rounds:
                    _log.info("validation: %s for %s", self._told(show(genotype)), genotype)
            sums = {genotype: summed(rows) for genotype, rows in done.items()}
            totals = combined(self.proxy, sums)
            if several:  # what compares networks is known once all are scored
                for genotype, total in totals.items():
                    board.add_scalar("pool_scores", total, index[genotype])
            unusable.tell()
            try:
                best = best_genotype(totals)
            except NoScore as error:
                raise UserError(f"{self.proxy.name} in the validation: {error}") from error
            for cell in self.space.cells(best):
                board.add_image(cell.name, drawing_image(cell), dataformats="HWC")
        write_best(self.folder.path, self.space.name, self.images.dataset, best)
        return best, sums

    def _told(self, row: Row) -> str:
        """A network's scores in words."""
        if len(row) > 1:
            return ", ".join(f"{part} {score:.4f}" for part, score in zip(self._parts, row))
        return f"{row[0]:.4f}"


def _counted(number: int, noun: str) -> str:
    """1 minibatch, 2 minibatches."""
    plural = "" if number == 1 else "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}{plural}"


class _Ties:
    """Says once when a proxy tells none of a decision's candidates apart, so that the first one stays."""

    def __init__(self, proxy: str):
        self._proxy = proxy
        self._said = False

    def look_at(self, decision: Decision | Pruning, supernet: Supernet) -> None:
        scores = decision.scores or () if isinstance(decision, Decision) else ()
        if not self._said and len(scores) > 1 and len(set(scores)) == 1:
            self._said = True
            what, _ = scored(decision, supernet)
            message = "%s gives all candidates of %s the same score, %s: the first stays (said once)"
            _log.warning(message, self._proxy, what.partition("/")[2], scores[0])


class _Clock:
    """Seconds since the last lap."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self) -> float:
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        return round(seconds, 4)
