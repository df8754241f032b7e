"""Computes what an atlas of operation scores lacks: each state on its own, in any number of processes."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from foresight_ext.devices import Compute
from foresight_ext.images.batches import Batch, Images
from foresight_ext.images.source import ImageSource
from foresight_ext.measures import PROXIES
from foresight_ext.measures.proxy import Proxy
from foresight_ext.parallel.workers import Workers
from foresight_ext.runs.progress import Progress
from foresight_ext.search.atlas import Atlas, Rows, Scored, State, entry_of
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.scoring import scores
from foresight_ext.search.space import Space
from foresight_ext.supernets.supernet import Mixing, Supernet, decide, remove

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StateWork:
    """Makes, in each process, what scores a state: its entry in the atlas.

    Weights, mixings and minibatches are those of a search of the `space` that decides in order.
    """

    space: Space
    images: ImageSource
    batch_size: int
    compute: Compute

    def __call__(self) -> Callable[[State], dict[str, Any]]:
        data, (device, _) = self.images.open("train"), self.compute.choose()
        seeds = lru_cache(maxsize=None)(lambda seed: _Seed(self.space, data, seed, self.batch_size, device))

        def entry(state: State) -> dict[str, Any]:
            part, seed, decided = state
            start, drawn = time.monotonic(), seeds(seed)
            scored = drawn.score(PROXIES.get(part), decided)
            return entry_of(drawn.supernet.choices, state, scored, time.monotonic() - start)

        return entry


def compute(
    atlas: Atlas,
    work: StateWork,
    proxies: Sequence[Proxy],
    seeds: Sequence[int],
    decisions: int,
    workers: Workers,
    run: Path,
) -> None:
    """Score what an atlas lacks for so many first decisions; a cluster's jobs write to the folder `run`."""
    # how many operations each decision scores, both ways: later ones have fewer left
    counts = [2 * sum(len(one.candidates) for one in atlas.choices[number:]) for number in range(decisions)]
    known = sum(sum(counts[: len(atlas.steps(proxy, seed))]) for proxy in proxies for seed in seeds)
    with Progress("operations scored", len(proxies) * len(seeds) * sum(counts), known) as progress:
        while states := atlas.missing(proxies, seeds, decisions):
            with closing(workers.results(work, states, run, "operation scores")) as results:
                for entry in results:
                    name, seed = entry["proxy"], entry["seed"]
                    fed = [proxy for proxy in proxies if any(part.name == name for part in proxy.parts)]
                    before = [len(atlas.steps(proxy, seed)) for proxy in fed]
                    atlas.add(entry)
                    for proxy, first in zip(fed, before):
                        for step in atlas.steps(proxy, seed)[first:decisions]:
                            choice = atlas.choices[len(step.decided)]
                            kept = choice.candidates[step.kept]
                            note = f"{proxy.name}, seed {seed}, {choice.name} = {kept}"
                            progress.step(note, counts[len(step.decided)])
    for proxy in proxies:
        for seed in seeds:
            if left := atlas.choices[len(atlas.steps(proxy, seed)) : decisions]:
                message = "%s, seed %d: no score of %s is usable, so it decides no further"
                _log.warning(message, proxy.name, seed, left[0].name)


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


class _Seed:
    """A seed's supernet and minibatches, as a search with `--edge_decision order` draws its first member."""

    def __init__(self, space: Space, data: Images, seed: int, batch_size: int, device: torch.device):
        proxy = next(iter(PROXIES))  # which one is given makes no difference to the draws
        search = PoolSearch(space, data, PROXIES.get(proxy), ORDERS.get("order"), seed, batch_size, device)
        draws = search.draw()
        self.supernet, self._mixing = search.supernet, draws.mixing
        # one minibatch a decision, for all proxies
        self._batch = lru_cache(maxsize=None)(lambda number: data.render(draws.batches[number], device))

    def score(self, part: Proxy, decided: Sequence[int]) -> Scored:
        """What a proxy says where the first choices have these candidates."""
        mixing = self._mixing
        for choice, candidate in enumerate(decided):
            mixing = decide(mixing, choice, candidate)
        left = range(len(decided), len(self.supernet.choices))
        return state_scores(part, self.supernet, mixing, left, self._batch(len(decided)))
