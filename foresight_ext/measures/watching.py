"""Scores that can never be chosen: the first is said with its place, all are counted."""

import logging
import math
from collections.abc import Sequence

from torch import nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures.combination import Combination
from foresight_ext.measures.proxy import Proxy
from foresight_ext.supernets.supernet import Mixing, Supernet

_log = logging.getLogger(__name__)


class Unusable:
    """What a stage saw of scores that are NaN or, the higher the better, plus infinity.

    Minus infinity is legal (a singular kernel) and not worth a word. `member` is the place of a search.
    """

    def __init__(self, stage: str):
        self.member = 0
        self._stage = stage
        self._said: set[str] = set()
        self._scores = 0
        self._unusable = 0

    def look_at(self, proxy: Proxy, place: str, score: float) -> None:
        """Count a score, the higher the better; warn if it is the proxy's first that can't be chosen."""
        self._scores += 1
        if score < math.inf:
            return
        self._unusable += 1
        if proxy.name not in self._said:
            self._said.add(proxy.name)
            infinity = "infinity" if proxy.higher_is_better else "minus infinity"
            kind = "NaN" if math.isnan(score) else infinity
            message = "%s: %s gave %s for %s: such a score is never chosen, and others are counted"
            _log.warning(message, self._stage, proxy.name, kind, place)

    def add(self, seen: "Seen", parts: Sequence[Proxy]) -> None:
        """Count what another process saw of these proxies' scores."""
        self._scores += seen.usable
        for name, place, score in seen.unusable:
            self.look_at(next(part for part in parts if part.name == name), place, score)

    def tell(self) -> None:
        """Say at the end of the stage how many there were, of those that this process computed."""
        if self._unusable:
            message = "%s: %d of %d scores were NaN or infinite"
            _log.warning(message, self._stage, self._unusable, self._scores)


class Seen(Unusable):
    """The same for a process that says nothing: what it saw, for the one that does."""

    def __init__(self) -> None:
        super().__init__("")
        self.usable = 0
        self.unusable: list[tuple[str, str, float]] = []

    def look_at(self, proxy: Proxy, place: str, score: float) -> None:
        if score < math.inf:
            self.usable += 1
        else:
            self.unusable.append((proxy.name, place, score))

    def take(self) -> "Seen":
        """What was seen since the last time."""
        taken = Seen()
        taken.usable, taken.unusable = self.usable, self.unusable
        self.usable, self.unusable = 0, []
        return taken


class Watched(Proxy):
    """A proxy as it is, besides that its operation scores are looked at."""

    def __init__(self, proxy: Proxy, unusable: Unusable):
        self.proxy = proxy
        self.name = proxy.name
        self.source = proxy.source
        self.higher_is_better = proxy.higher_is_better
        self.together = proxy.together
        self.needs_what(proxy)
        self._unusable = unusable

    def score(self, network: nn.Module, batch: Batch) -> float:
        return self.proxy.score(network, batch)

    def score_mixings(self, supernet: Supernet, mixings: Sequence[Mixing], batch: Batch) -> list[float]:
        return self.proxy.score_mixings(supernet, mixings, batch)

    def look_at(self, places: Sequence[str], scores: Sequence[float]) -> None:
        for place, score in zip(places, scores):
            self._unusable.look_at(self, f"member {self._unusable.member}, {place}", score)


def watched(proxy: Proxy, unusable: Unusable) -> Proxy:
    """The proxy, its parts watched."""
    if isinstance(proxy, Combination):
        combined = Combination([Watched(part, unusable) for part in proxy.parts], proxy.rule)
        combined.name = proxy.name
        return combined
    return Watched(proxy, unusable)
