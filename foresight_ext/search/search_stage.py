"""The search stage of a run: its pool, discretised one member after the other or in several processes."""

import logging
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from foresight_ext.devices import Compute
from foresight_ext.measures.watching import Unusable, watched
from foresight_ext.runs.board import tensorboard
from foresight_ext.runs.progress import Progress
from foresight_ext.search.costs import in_figures
from foresight_ext.search.journal import choices_by_name, read_decisions, scored, told, written
from foresight_ext.search.limits import Limits
from foresight_ext.search.members import Member, MemberWork, forget, left_behind
from foresight_ext.search.orders import ORDERS, Decision, Pruning
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.stage import Clock, Stage, counted
from foresight_ext.supernets.supernet import Supernet

if TYPE_CHECKING:  # slow to import, and a finished run needs none
    from torch.utils.tensorboard import SummaryWriter

_log = logging.getLogger(__name__)


def search_pool(stage: Stage, limits: Limits | None) -> list[str]:
    """The genotypes of the pool; computes what the run's journal does not hold yet, and keeps it there.

    `limits` is what the networks must be within. UserError for what can't be scored.
    """
    return _PoolStage(stage, limits).run()


class _PoolStage:
    """The pool that is searched, and what a decision changes: journal, progress, curves."""

    board: "SummaryWriter"

    def __init__(self, stage: Stage, limits: Limits | None):
        settings = stage.settings
        self.stage = stage
        self.order = ORDERS.get(settings.edge_decision)
        self.unusable = Unusable("search")
        self._tell_small_minibatches()
        proxy = watched(stage.proxy, self.unusable)
        self.search = PoolSearch(
            stage.space, stage.data, proxy, self.order, settings.seed, settings.batch_size, stage.device
        )
        if limits is not None:
            self.search.allowed = limits
            most = ", ".join(f"{name} {in_figures(number)}" for name, number in limits.most.items())
            _log.info("search: networks have at most %s", most)
        self.supernet = self.search.supernet
        self.steps = len(self.supernet.choices) + len(self.supernet.nodes)
        stage.folder.keep_choices(choices_by_name(self.supernet))
        self.journal = stage.folder.journal("search")
        self.done = read_decisions(self.journal, self.supernet)
        self.progress = Progress("search", settings.pool_size * self.steps, len(self.journal.entries))
        self.ties = _Ties(stage.proxy.name)
        self.pool: list[str] = []

    def run(self) -> list[str]:
        if self.journal.entries:
            progress = self.progress
            _log.info("search: going on after %d of %d decisions", progress.done, progress.total)
        else:
            many = counted(self.stage.settings.pool_size, "discretisation")
            _log.info("search: %s of %s", many, counted(self.steps, "decision"))
        with tensorboard(self.stage.folder.path) as self.board, self.progress:
            # TensorBoard writes late: some of what an earlier process scored may not be in its file
            for member, decisions in self.done.items():
                for decision in decisions:
                    self._show(member, decision)
            processes = self._processes()
            if processes > 1:
                self._in_processes(processes)
            else:
                for member in range(self.stage.settings.pool_size):
                    self._discretise(member)
        self.unusable.tell()
        return self.pool

    def _tell_small_minibatches(self) -> None:
        asked, images = self.stage.settings.batch_size, len(self.stage.data)
        there = self.stage.space.search_images(images)
        if asked > there:
            share = "half" if there < images else "all"
            what = "search: minibatches have %s, %s of the training images, not the %d asked for"
            _log.info(what, counted(there, "image"), share, asked)

    def _processes(self) -> int:
        """How many processes can discretise members at the same time."""
        processes = min(self.stage.workers.processes, self.stage.settings.pool_size)
        if processes > 1 and not self.stage.space.members_apart:
            _log.info("search: in one process: what a member draws depends on the one before")
            return 1
        return processes if self.order.scores else 1

    def _discretise(self, member: int) -> None:
        """Search a member in this process."""
        clock, self.unusable.member = Clock(), member
        before = [*self.done.get(member, ())]
        for decision, seconds in left_behind(self.stage.folder.path, member, self.supernet, before):
            self._take(member, decision, seconds)
            before.append(decision)
        draws = self.search.draw(self.pool[-1] if self.pool else None)
        genotype, decisions = self.search.discretise(
            draws, before, lambda decision: self._take(member, decision, clock.lap())
        )
        self._end(member, genotype, len(decisions))

    def _in_processes(self, processes: int) -> None:
        """Take what several processes find, in the members' order."""
        with closing(self._members(processes)) as members:
            for member, found in enumerate(members):
                self.unusable.member = member
                self.unusable.add(found.seen, self.stage.proxy.parts)
                for decision, seconds in found.fresh:
                    self._take(member, decision, round(seconds / processes, 4))  # as they add up
                self._end(member, found.genotype, len(self.done.get(member, ())) + len(found.fresh))

    def _members(self, processes: int) -> Generator[Member, None, None]:
        stage, settings = self.stage, self.stage.settings
        work = MemberWork(
            stage.space,
            stage.proxy,
            self.order,
            stage.images,
            Compute.of(stage.device),
            settings.seed,
            settings.batch_size,
            settings.at_most,
            stage.folder.path,
        )
        tasks = [(member, self.done.get(member, [])) for member in range(settings.pool_size)]
        return replace(stage.workers, processes=processes).results(work, tasks, stage.folder.path, "members")

    def _show(self, member: int, decision: Decision | Pruning) -> None:
        what, names = scored(decision, self.supernet)
        for name, score in zip(names, decision.scores or ()):
            self.board.add_scalar(f"{what}/{name}", score, member)

    def _take(self, member: int, decision: Decision | Pruning, seconds: float) -> None:
        self.journal.append({"member": member, **written(decision, self.supernet), "seconds": seconds})
        self._show(member, decision)
        self.ties.look_at(decision, self.supernet)
        self.progress.step(told(decision, self.supernet))

    def _end(self, member: int, genotype: str, decisions: int) -> None:
        self.progress.skip(self.steps - decisions)
        if len(self.done.get(member, ())) < decisions:
            _log.info("search: member %d is %s", member, genotype)
        forget(self.stage.folder.path, member)
        self.pool.append(genotype)


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
