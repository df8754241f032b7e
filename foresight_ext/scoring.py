"""S(A - (e,o)): the proxy of a supernet with one candidate operation removed."""

import math
from collections.abc import Sequence

from foresight_ext.batches import Batch
from foresight_ext.errors import UserError
from foresight_ext.measures import Proxy
from foresight_ext.supernet import Mixing, Supernet, remove


def operation_scores(
    proxy: Proxy, supernet: Supernet, mixing: Mixing, choices: Sequence[int], batch: Batch
) -> dict[int, list[float]]:
    """For each choice, the score of its removal for every candidate; the lowest marks the one to keep.

    Proxies for which lower is better are negated. Removals that leave the same network are scored once.
    """
    removals = {
        choice: [supernet.effective(remove(mixing, choice, o)) for o in range(len(mixing[choice]))]
        for choice in choices
    }
    distinct = list(dict.fromkeys(one for row in removals.values() for one in row))
    sign = 1 if proxy.higher_is_better else -1
    score = dict(zip(distinct, (sign * s for s in proxy.score_mixings(supernet, distinct, batch))))
    return {choice: [score[one] for one in row] for choice, row in removals.items()}


def usable(scores: Sequence[float]) -> list[float]:
    """The scores that may decide: all but NaN and plus infinity.

    Minus infinity, the score of a singular kernel, is a legal lowest score.
    """
    return [score for score in scores if score < math.inf]


def lowest(scores: Sequence[float]) -> int:
    """Index of the first lowest usable score; UserError if there is none."""
    return scores.index(min(_some(usable(scores), scores)))


def highest(scores: Sequence[float]) -> int:
    """Index of the first highest usable score; UserError if there is none."""
    return scores.index(max(_some(usable(scores), scores)))


def _some(usable_scores: list[float], scores: Sequence[float]) -> list[float]:
    if not usable_scores:
        raise UserError(f"the proxy gave no score to choose by (all NaN or infinite): {list(scores)}")
    return usable_scores
