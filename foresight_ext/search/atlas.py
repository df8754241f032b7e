"""Scores of every operation on every undecided edge, decision after decision, kept in a journal."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from foresight_ext.measures.proxy import Proxy
from foresight_ext.runs.journal import Journal, json_score
from foresight_ext.search.choosing import NoScore, lowest
from foresight_ext.supernets.supernet import Choice

# choice (its index) -> a score for each of its candidates, the higher the better the network
Rows = dict[int, list[float]]


class Scored(NamedTuple):
    """Scores of the undecided choices of a supernet, in two ways.

    `removal`: of the supernet without the candidate, so that the lowest marks the one to keep (Zero-Cost-PT,
    section 3). `one_hot`: of the supernet whose choice keeps that candidate alone; the highest marks it.
    """

    removal: Rows
    one_hot: Rows


class Step(NamedTuple):
    """A decision: candidates of the choices before, scores of those left, what the first of these keeps."""

    decided: tuple[int, ...]
    scored: Scored
    kept: int


# what is scored: a proxy that scores networks, the seed, the candidates of the choices before
State = tuple[str, int, list[int]]
# what a part of a proxy says when the first choices have these candidates; None: it is not known
Find = Callable[[Proxy, tuple[int, ...]], Scored | None]


def steps(proxy: Proxy, choices: Sequence[Choice], find: Find) -> Iterator[Step]:
    """The decisions of a search that visits the choices in order, as far as scores are known.

    Removal scores decide. A combination compares the candidates of a choice, as the search does. There is no
    decision where no score is usable, and none after it.
    """
    decided: tuple[int, ...] = ()
    while len(decided) < len(choices):
        parts = [find(part, decided) for part in proxy.parts]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return
        scored = Scored(
            _combined(proxy, [part.removal for part in known]),
            _combined(proxy, [part.one_hot for part in known]),
        )
        try:
            kept = lowest(scored.removal[len(decided)])
        except NoScore:
            return
        yield Step(decided, scored, kept)
        decided = (*decided, kept)


def _combined(proxy: Proxy, parts: Sequence[Rows]) -> Rows:
    return {choice: proxy.combine([rows[choice] for rows in parts]) for choice in parts[0]}


class Atlas:
    """The scores of a supernet's operations that a journal holds, by proxy, seed and what was decided before.

    Entries are of proxies that score networks; combinations are made of their parts' scores. Choices are
    visited in their order, one a decision: for supernets of one group, without nested choices and nodes.
    UserError if the journal makes no sense.
    """

    def __init__(self, journal: Journal, choices: Sequence[Choice]):
        self.choices = choices
        self._journal = journal
        self._found: dict[tuple[str, int, tuple[int, ...]], Scored] = {}
        for number, entry in enumerate(journal.entries, start=1):
            try:
                self._take(entry)
            except (KeyError, TypeError, ValueError):
                raise journal.damaged(number) from None

    def find(self, seed: int) -> Find:
        """What is known of a seed."""
        return lambda part, decided: self._found.get((part.name, seed, decided))

    def steps(self, proxy: Proxy, seed: int) -> list[Step]:
        """A proxy's decisions under a seed, as far as they are known."""
        return list(steps(proxy, self.choices, self.find(seed)))

    def missing(self, proxies: Sequence[Proxy], seeds: Sequence[int], decisions: int) -> list[State]:
        """What to score next for so many first decisions of each proxy under each seed, seed after seed.

        A later decision is known to be missing when the one before is there.
        """
        found: dict[tuple[str, int, tuple[int, ...]], None] = {}
        for seed in seeds:
            for proxy in proxies:
                known = self.steps(proxy, seed)
                if len(known) < decisions:
                    decided = (*known[-1].decided, known[-1].kept) if known else ()
                    found |= dict.fromkeys((part.name, seed, decided) for part in proxy.parts)
        new = [one for one in found if one not in self._found]
        return [(part, seed, list(decided)) for part, seed, decided in new]

    @property
    def seeds(self) -> list[int]:
        """The seeds that anything is known of, in order."""
        return sorted({seed for _, seed, _ in self._found})

    def add(self, entry: dict[str, Any]) -> None:
        """Keep what `entry_of` has made; once this returns it outlives the process."""
        if self._take(entry):
            self._journal.append(entry)

    def _take(self, entry: dict[str, Any]) -> bool:
        """Read an entry; whether it tells anything new."""
        decided = tuple(choice.candidates.index(name) for choice, name in zip(self.choices, entry["decided"]))
        scored = Scored(*(self._read(entry[kind], len(decided)) for kind in Scored._fields))
        key = str(entry["proxy"]), int(entry["seed"]), decided
        return self._found.setdefault(key, scored) is scored

    def _read(self, rows: dict[str, Any], decided: int) -> Rows:
        read: Rows = {}
        for number, choice in enumerate(self.choices[decided:], start=decided):
            read[number] = [float(one) for one in rows[choice.name]]
            if len(read[number]) != len(choice.candidates):
                raise ValueError(choice.name)
        return read


def entry_of(choices: Sequence[Choice], state: State, scored: Scored, seconds: float) -> dict[str, Any]:
    """An entry of an atlas: what a state's scores are, as JSON can hold it."""
    part, seed, decided = state
    names = [choice.candidates[one] for choice, one in zip(choices, decided)]
    rows = {
        kind: {choices[choice].name: [json_score(one) for one in row] for choice, row in found.items()}
        for kind, found in zip(Scored._fields, scored)
    }
    return {"proxy": part, "seed": seed, "decided": names, **rows, "seconds": round(seconds, 4)}
