"""Several proxies as one: each scores the networks, and a rule makes one score of theirs (`--combine`)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata
from torch import nn

from foresight_ext.batches import Batch
from foresight_ext.errors import UserError
from foresight_ext.measures import PROXIES, Proxy
from foresight_ext.registry import Registry
from foresight_ext.supernet import Mixing, Supernet

# functions of a table (networks x proxies, the higher the better, no row twice) to the networks' scores
COMBINATIONS = Registry("combination")


class Combination(Proxy):
    """Compares networks by several proxies. `parts` are these by name, `rule` is one of COMBINATIONS.

    Only networks that are scored together have scores. One that some part gives NaN or plus infinity (see
    scoring.usable) gets NaN, the others are compared among themselves. Networks that no part tells apart
    count as one, so that what is scored twice, or known to be equal and scored once, changes nothing.
    """

    def __init__(self, parts: Mapping[str, Proxy], rule: str):
        self.named = dict(parts)
        self.rule = rule
        self._scores = COMBINATIONS.get(rule)
        self.source = "; ".join(part.source for part in self.parts)
        self.needs_labels = any(part.needs_labels for part in self.parts)
        self.needs_gradients = any(part.needs_gradients for part in self.parts)
        self.needs_double = any(part.needs_double for part in self.parts)

    @property
    def parts(self) -> tuple[Proxy, ...]:
        return tuple(self.named.values())

    def score(self, network: nn.Module, batch: Batch) -> float:
        raise UserError(f"{' and '.join(self.named)} together compare networks: one alone has no score")

    def score_mixings(self, supernet: Supernet, mixings: Sequence[Mixing], batch: Batch) -> list[float]:
        return self.combine(
            [
                [signed(part, score) for score in part.score_mixings(supernet, mixings, batch)]
                for part in self.parts
            ]
        )

    def combine(self, columns: Sequence[Sequence[float]]) -> list[float]:
        rows = [tuple(row) for row in zip(*columns)]
        compared = list(dict.fromkeys(row for row in rows if all(score < math.inf for score in row)))
        table = np.array(compared, dtype=np.float64).reshape(-1, len(columns))
        scores = dict(zip(compared, self._scores(table).tolist()))
        return [scores.get(row, math.nan) for row in rows]


def rank(table: np.ndarray) -> np.ndarray:
    """Sum over the proxies of a network's place: 1 for the lowest score, equal scores share a place.

    Source: TE-NAS (Chen et al. 2021) ranks its two proxies so. Places are dense, without gaps after ties.
    """
    return rankdata(table, method="dense", axis=0).sum(axis=1, dtype=np.float64)


def vote(table: np.ndarray) -> np.ndarray:
    """How many other networks a network beats, less how many beat it, by majority of the proxies (Copeland).

    Source: the vote of Zero-Cost-NAS (Abdelfattah et al. 2021) between two networks, over all pairs.
    """
    columns = np.ascontiguousarray(table.T)  # rows of one proxy's scores: pools may hold 50,000 networks
    lead = np.zeros(len(table))
    for number, own in enumerate(table):
        majority = np.zeros(len(table), dtype=np.int16)
        for score, column in zip(own, columns):
            majority += score > column
            majority -= score < column
        lead[number] = np.count_nonzero(majority > 0) - np.count_nonzero(majority < 0)
    return lead


COMBINATIONS.register("rank", rank)
COMBINATIONS.register("vote", vote)


def signed(proxy: Proxy, score: float) -> float:
    """A proxy's score such that higher is better."""
    return score if proxy.higher_is_better else -score


def parts_of(names: str) -> dict[str, Proxy]:
    """The proxies that score networks in 'a,b,c', by name; a registered combination brings its own.

    UserError if a name is unknown or a proxy comes twice.
    """
    parts: dict[str, Proxy] = {}
    for name in names.split(","):
        proxy = PROXIES.get(name)
        for part_name, part in (proxy.named if isinstance(proxy, Combination) else {name: proxy}).items():
            if part_name in parts:
                raise UserError(f"the proxy '{part_name}' comes twice in '{names}': leave one out")
            parts[part_name] = part
    return parts


def proxy_of(names: str, combine: str) -> Proxy:
    """The proxy that 'a,b,c' means: several are combined by the rule `combine`, one is what it is."""
    parts = parts_of(names)
    return Combination(parts, combine) if "," in names else PROXIES.get(names)
