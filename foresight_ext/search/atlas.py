"""Scores of every operation on every undecided edge, decision after decision, kept in a journal."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from typing import Any, NamedTuple

import torch

from foresight_ext.images.batches import Batch, Images
from foresight_ext.measures.proxy import Proxy
from foresight_ext.runs.journal import Journal, json_score
from foresight_ext.runs.progress import Progress
from foresight_ext.search.choosing import NoScore, lowest
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.scoring import scores
from foresight_ext.search.space import Space
from foresight_ext.supernets.supernet import Choice, Mixing, Supernet, decide, remove

# choice (its index) -> a score for each of its candidates, the higher the better the network
Rows = dict[int, list[float]]

_log = logging.getLogger(__name__)


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


# what a part of a proxy says when the first choices have these candidates; None: it is not known
Find = Callable[[Proxy, tuple[int, ...]], Scored | None]


def state_scores(
    proxy: Proxy, supernet: Supernet, mixing: Mixing, choices: Sequence[int], batch: Batch
) -> Scored:
    """Score every candidate of some choices in both ways, equal networks once."""
    every = [(choice, candidate) for choice in choices for candidate in range(len(mixing[choice]))]
    named = [(supernet.choices[choice], candidate) for choice, candidate in every]
    names = [f"choice {choice.name}, {choice.candidates[candidate]}" for choice, candidate in named]
    found = scores(
        proxy,
        supernet,
        [remove(mixing, *one) for one in every] + [decide(mixing, *one) for one in every],
        batch,
        [f"{name} removed" for name in names] + [f"{name} alone" for name in names],
    )
    return Scored(_rows(every, found[: len(every)]), _rows(every, found[len(every) :]))


def _rows(every: Sequence[tuple[int, int]], found: Sequence[float]) -> Rows:
    rows: Rows = {}
    for (choice, _), score in zip(every, found):
        rows.setdefault(choice, []).append(score)
    return rows


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
                decided = tuple(
                    choice.candidates.index(name) for choice, name in zip(choices, entry["decided"])
                )
                scored = Scored(*(self._read(entry[kind], len(decided)) for kind in Scored._fields))
                self._found[str(entry["proxy"]), int(entry["seed"]), decided] = scored
            except (KeyError, TypeError, ValueError):
                raise journal.damaged(number) from None

    def find(self, seed: int) -> Find:
        """What is known of a seed."""
        return lambda part, decided: self._found.get((part.name, seed, decided))

    def steps(self, proxy: Proxy, seed: int) -> list[Step]:
        """A proxy's decisions under a seed, as far as they are known."""
        return list(steps(proxy, self.choices, self.find(seed)))

    def missing(self, proxy: Proxy, seed: int, decisions: int) -> bool:
        """Whether anything is left to score for so many first decisions of a proxy under a seed."""
        known = self.steps(proxy, seed)
        if len(known) >= decisions:
            return False
        decided = (*known[-1].decided, known[-1].kept) if known else ()
        return any(self.find(seed)(part, decided) is None for part in proxy.parts)

    @property
    def seeds(self) -> list[int]:
        """The seeds that anything is known of, in order."""
        return sorted({seed for _, seed, _ in self._found})

    def add(self, proxy: Proxy, seed: int, decided: tuple[int, ...], scored: Scored, seconds: float) -> None:
        """Keep what was computed; once this returns it outlives the process."""
        names = [choice.candidates[one] for choice, one in zip(self.choices, decided)]
        rows = {kind: self._written(one) for kind, one in zip(Scored._fields, scored)}
        entry = {"proxy": proxy.name, "seed": seed, "decided": names, **rows}
        self._journal.append({**entry, "seconds": round(seconds, 4)})
        self._found[proxy.name, seed, decided] = scored

    def compute(
        self,
        proxies: Sequence[Proxy],
        seeds: Sequence[int],
        space: Space,
        data: Images,
        batch_size: int,
        device: torch.device,
        decisions: int,
    ) -> None:
        """Score what is missing for so many first decisions, seed after seed.

        Weights, mixings and minibatches are those of a search that decides in order.
        """
        known = sum(min(decisions, len(self.steps(proxy, seed))) for proxy in proxies for seed in seeds)
        with Progress("operation scores", len(proxies) * len(seeds) * decisions, known) as progress:
            for seed in seeds:
                # which proxy is given makes no difference to the draws
                draws = partial(_Seed, space, data, proxies[0], seed, batch_size, device)
                find = self._computing(seed, lru_cache(maxsize=None)(draws))
                for proxy in proxies:
                    self._walk(proxy, seed, find, decisions, progress)

    def _walk(self, proxy: Proxy, seed: int, find: Find, decisions: int, progress: Progress) -> None:
        before, count = len(self.steps(proxy, seed)), 0
        for count, step in enumerate(islice(steps(proxy, self.choices, find), decisions), start=1):
            if count > before:
                choice = self.choices[count - 1]
                progress.step(f"{proxy.name}, seed {seed}, {choice.name} = {choice.candidates[step.kept]}")
        if left := self.choices[count:decisions]:
            progress.skip(len(left))
            message = "%s, seed %d: no score of %s is usable, so it decides no further"
            _log.warning(message, proxy.name, seed, left[0].name)

    def _computing(self, seed: int, state: Callable[[], "_Seed"]) -> Find:
        known = self.find(seed)

        def find(part: Proxy, decided: tuple[int, ...]) -> Scored:
            scored = known(part, decided)
            if scored is None:
                start = time.monotonic()
                scored = state().score(part, decided)
                self.add(part, seed, decided, scored, time.monotonic() - start)
            return scored

        return find

    def _written(self, rows: Rows) -> dict[str, list[float | str]]:
        return {self.choices[choice].name: [json_score(one) for one in row] for choice, row in rows.items()}

    def _read(self, rows: dict[str, Any], decided: int) -> Rows:
        read: Rows = {}
        for number, choice in enumerate(self.choices[decided:], start=decided):
            read[number] = [float(one) for one in rows[choice.name]]
            if len(read[number]) != len(choice.candidates):
                raise ValueError(choice.name)
        return read


class _Seed:
    """A seed's supernet and minibatches, as a search with `--edge_decision order` draws its first member."""

    def __init__(
        self, space: Space, data: Images, proxy: Proxy, seed: int, batch_size: int, device: torch.device
    ):
        search = PoolSearch(space, data, proxy, ORDERS.get("order"), seed, batch_size, device)
        draws = search.draw()
        self._supernet, self._mixing = search.supernet, draws.mixing
        # one minibatch a decision, for all proxies
        self._batch = lru_cache(maxsize=None)(lambda number: data.render(draws.batches[number], device))

    def score(self, part: Proxy, decided: tuple[int, ...]) -> Scored:
        """What a proxy says where the first choices have these candidates."""
        mixing = self._mixing
        for choice, candidate in enumerate(decided):
            mixing = decide(mixing, choice, candidate)
        left = range(len(decided), len(self._supernet.choices))
        return state_scores(part, self._supernet, mixing, left, self._batch(len(decided)))
