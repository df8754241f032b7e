"""Several proxies as one: each scores the networks, and a rule makes one score of theirs (`--combine`)."""

import math
from collections.abc import Sequence

import numpy as np
from torch import nn

from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch
from foresight_ext.measures import COMBINATIONS, PROXIES
from foresight_ext.measures.proxy import Proxy
from foresight_ext.supernets.supernet import Mixing, Supernet


class Combination(Proxy):
    """Compares networks by several proxies. `parts` are these, `rule` is one of COMBINATIONS.

    Only networks that are scored together have scores. One that some part gives NaN or plus infinity (see
    choosing.usable) gets NaN, the others are compared among themselves. Networks that no part tells apart
    count as one, so that what is scored twice, or known to be equal and scored once, changes nothing.
    """

    def __init__(self, parts: Sequence[Proxy], rule: str):
        self._parts = tuple(parts)
        self.rule = rule
        self._scores = COMBINATIONS.get(rule)
        self.name = ",".join(part.name for part in parts)
        self.source = "; ".join(part.source for part in parts)
        self.needs_what(*parts)

    @property
    def parts(self) -> tuple[Proxy, ...]:
        return self._parts

    def score(self, network: nn.Module, batch: Batch) -> float:
        names = " and ".join(part.name for part in self.parts)
        raise UserError(f"{names} together compare networks: one alone has no score")

    def score_mixings(self, supernet: Supernet, mixings: Sequence[Mixing], batch: Batch) -> list[float]:
        return self.combine(
            [
                [part.signed(score) for score in part.score_mixings(supernet, mixings, batch)]
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
    from scipy.stats import rankdata

    return rankdata(table, method="dense", axis=0).sum(axis=1, dtype=np.float64)


def log_rank(table: np.ndarray) -> np.ndarray:
    """Sum over the proxies of log(place / L) of L networks: 1 for the lowest, equal ones share the mean.

    Source: AZ-NAS (Lee & Ham 2024): one bad place costs more than by `rank`, and two good ones cannot make
    up for it.
    """
    from scipy.stats import rankdata

    places = rankdata(table, method="average", axis=0) / len(table) if len(table) else table
    # the exact sum, so that the order of the proxies makes no difference
    return np.array([math.fsum(row) for row in np.log(places)])


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


def proxy_of(names: Sequence[str], combine: str = "rank") -> Proxy:
    """The proxy that some names mean: several are combined by the rule `combine`, one is what it is.

    UserError if a name is unknown, or a proxy scores networks twice.
    """
    proxies = [PROXIES.get(name) for name in names]
    if len(proxies) == 1:
        return proxies[0]
    parts = [part for proxy in proxies for part in proxy.parts]
    for number, part in enumerate(parts):
        if part in parts[:number]:
            raise UserError(f"the proxy '{part.name}' comes twice in '{','.join(names)}': leave one out")
    return Combination(parts, combine)
