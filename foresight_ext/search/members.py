"""Pool members in several processes: each keeps the decisions of its member in a journal of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from foresight_ext.devices import Compute
from foresight_ext.files import exclusive
from foresight_ext.images.source import ImageSource
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.watching import Seen, watched
from foresight_ext.runs.journal import Journal
from foresight_ext.search.journal import read_decisions, written
from foresight_ext.search.limits import Limits, measurable, measured_of
from foresight_ext.search.orders import Decision, Order, Pruning
from foresight_ext.search.pool import MemberDraws, PoolSearch
from foresight_ext.search.space import Space
from foresight_ext.search.stage import Clock
from foresight_ext.supernets.supernet import Supernet

FOLDER = "members"
# a decision, and the seconds that it took
Timed = tuple[Decision | Pruning, float]


class Member(NamedTuple):
    """A discretisation: its genotype, the decisions that the run's journal lacks, what scores there were."""

    genotype: str
    fresh: list[Timed]
    seen: Seen


@contextmanager
def member_journal(run: Path, number: int) -> Iterator[Journal]:
    """A member's journal, held by one process at a time."""
    path = run / FOLDER / f"{number:05}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with exclusive(path.with_suffix(".lock")), closing(Journal(path)) as journal:
        yield journal


def left_behind(
    run: Path, number: int, supernet: Supernet, done: Sequence[Decision | Pruning]
) -> list[Timed]:
    """What a killed process has decided of a member beyond `done`."""
    if not (run / FOLDER / f"{number:05}.jsonl").is_file():
        return []
    with member_journal(run, number) as journal:
        return _beyond(journal, supernet, done)


def forget(run: Path, number: int) -> None:
    """Delete a member's journal: the run's own has all that it held."""
    for path in (run / FOLDER).glob(f"{number:05}.*"):
        path.unlink()
    if (run / FOLDER).is_dir() and not any((run / FOLDER).iterdir()):
        (run / FOLDER).rmdir()


def _beyond(journal: Journal, supernet: Supernet, done: Sequence[Decision | Pruning]) -> list[Timed]:
    known = {(type(decision), decision[0]) for decision in done}
    decisions = [one for those in read_decisions(journal, supernet).values() for one in those]
    timed = zip(decisions, (entry["seconds"] for entry in journal.entries))
    return [(one, seconds) for one, seconds in timed if (type(one), one[0]) not in known]


@dataclass(frozen=True)
class MemberWork:
    """Makes, in each process, what discretises a member: a task is its number, and its decisions so far.

    Each process builds the supernet and draws the members from the seed. `run` is the run folder.
    """

    space: Space
    proxy: Proxy
    order: Order
    images: ImageSource
    compute: Compute
    seed: int
    batch_size: int
    at_most: Mapping[str, float | str]
    run: Path

    def __call__(self) -> Callable[[tuple[int, Sequence[Decision | Pruning]]], Member]:
        data, device = self.images.open("train"), self.compute.choose()[0]
        seen = Seen()
        proxy = watched(self.proxy, seen)
        search = PoolSearch(self.space, data, proxy, self.order, self.seed, self.batch_size, device)
        if self.at_most:
            search.allowed = Limits(
                *measurable(self.space, data), self.at_most, measured=measured_of(self.space)
            )
        drawn: list[MemberDraws] = []

        def member(task: tuple[int, Sequence[Decision | Pruning]]) -> Member:
            number, done = task
            while len(drawn) <= number:
                drawn.append(search.draw())
            seen.member, clock = number, Clock()
            with member_journal(self.run, number) as journal:

                def keep(decision: Decision | Pruning) -> None:
                    entry = {"member": number, **written(decision, search.supernet)}
                    journal.append({**entry, "seconds": clock.lap()})

                before = [*done, *(one for one, _ in _beyond(journal, search.supernet, done))]
                genotype, _ = search.discretise(drawn[number], before, keep)
                return Member(genotype, _beyond(journal, search.supernet, done), seen.take())

        return member
