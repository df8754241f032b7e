"""Says once when a proxy gives scores that can never be chosen, so that nobody wonders about the result."""

import logging
import math
from collections.abc import Sequence

from torch import nn

from foresight_ext.batches import Batch
from foresight_ext.measures import Proxy
from foresight_ext.measures.combination import Combination, parts_of, proxy_of, signed
from foresight_ext.supernet import Mixing, Supernet

_log = logging.getLogger(__name__)


class Watched(Proxy):
    """A proxy as it is, besides that it warns the first time that a score is NaN or, signed, plus infinity.

    Minus infinity is legal (a singular kernel) and not worth a word. Equal candidates count once.
    """

    def __init__(self, name: str, proxy: Proxy):
        self.name = name
        self.proxy = proxy
        self.source = proxy.source
        self.higher_is_better = proxy.higher_is_better
        self.needs_labels = proxy.needs_labels
        self.needs_gradients = proxy.needs_gradients
        self.needs_double = proxy.needs_double
        self._said = False

    def score(self, network: nn.Module, batch: Batch) -> float:
        score = self.proxy.score(network, batch)
        self._look_at([score], "a network")
        return score

    def score_mixings(self, supernet: Supernet, mixings: Sequence[Mixing], batch: Batch) -> list[float]:
        scores = self.proxy.score_mixings(supernet, mixings, batch)
        self._look_at(scores, f"{{}} of {len(scores)} candidates")
        return scores

    def _look_at(self, scores: Sequence[float], whose: str) -> None:
        """`whose` has a place for the number of scores that can't be chosen."""
        unusable = [score for score in scores if not signed(self.proxy, score) < math.inf]
        if unusable and not self._said:
            self._said = True
            infinity = "infinity" if self.higher_is_better else "minus infinity"
            kinds = {"NaN" if math.isnan(score) else infinity for score in unusable}
            _log.warning(
                "%s gave %s for %s: such a score is never chosen (said once)",
                self.name,
                " or ".join(sorted(kinds)),
                whose.format(len(unusable)),
            )


def watched_proxy_of(names: str, combine: str) -> Proxy:
    """combination.proxy_of, its parts watched: each warns once in the life of what this returns."""
    parts = {name: Watched(name, part) for name, part in parts_of(names).items()}
    proxy = proxy_of(names, combine)
    if isinstance(proxy, Combination):
        return Combination(parts, proxy.rule)
    return parts[names]
