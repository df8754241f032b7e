"""Says once when a proxy gives scores that can never be chosen, so that nobody wonders about the result."""

import logging
import math
from collections.abc import Sequence

from torch import nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures.combination import Combination
from foresight_ext.measures.proxy import Proxy
from foresight_ext.supernets.supernet import Mixing, Supernet

_log = logging.getLogger(__name__)


class Watched(Proxy):
    """A proxy as it is, besides that it warns the first time that a score is NaN or, signed, plus infinity.

    Minus infinity is legal (a singular kernel) and not worth a word. Equal candidates count once.
    """

    def __init__(self, proxy: Proxy):
        self.proxy = proxy
        self.name = proxy.name
        self.source = proxy.source
        self.higher_is_better = proxy.higher_is_better
        self.needs_what(proxy)
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
        unusable = [score for score in scores if not self.signed(score) < math.inf]
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


def watched(proxy: Proxy) -> Proxy:
    """The proxy, its parts watched: each warns once in the life of what this returns."""
    if isinstance(proxy, Combination):
        combined = Combination([Watched(part) for part in proxy.parts], proxy.rule)
        combined.name = proxy.name
        return combined
    return Watched(proxy)
