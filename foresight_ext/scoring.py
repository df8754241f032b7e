"""S(A - (e,o)): the proxy of a supernet with one candidate operation removed."""

import math
from collections.abc import Sequence

from foresight_ext.batches import Batch
from foresight_ext.errors import UserError
from foresight_ext.measures import Proxy
from foresight_ext.measures.combination import signed
from foresight_ext.randomness import fix_noise
from foresight_ext.supernet import Mixing, Supernet, drop, remove


def scores(proxy: Proxy, supernet: Supernet, mixings: Sequence[Mixing], batch: Batch) -> list[float]:
    """The proxy under each mixing, negated where lower is better. Equal networks are scored once."""
    fix_noise(supernet, batch.seed)
    effective = [supernet.effective(mixing) for mixing in mixings]
    distinct = list(dict.fromkeys(effective))
    found = proxy.score_mixings(supernet, distinct, batch)
    score = {mixing: signed(proxy, one) for mixing, one in zip(distinct, found)}
    return [score[mixing] for mixing in effective]


def operation_scores(
    proxy: Proxy, supernet: Supernet, mixing: Mixing, choices: Sequence[int], batch: Batch
) -> dict[int, list[float]]:
    """For each choice, the score of its removal for every candidate; the lowest marks the one to keep."""
    removals = [(choice, o) for choice in choices for o in range(len(mixing[choice]))]
    found = scores(proxy, supernet, [remove(mixing, *removal) for removal in removals], batch)
    rows: dict[int, list[float]] = {choice: [] for choice in choices}
    for (choice, _), score in zip(removals, found):
        rows[choice].append(score)
    return rows


def edge_scores(
    proxy: Proxy, supernet: Supernet, mixing: Mixing, choices: Sequence[int], batch: Batch
) -> list[float]:
    """The score without each choice as a whole; the highest marks the one to drop."""
    return scores(proxy, supernet, [drop(mixing, choice) for choice in choices], batch)


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


def dropped_edges(edge_scores: Sequence[float], keep: int) -> list[int]:
    """Positions of the edges that a node loses: the highest score first, the last of equals."""
    remaining, dropped = list(range(len(edge_scores))), []
    while len(remaining) > keep:
        reverse = remaining[::-1]
        dropped.append(reverse[highest([edge_scores[position] for position in reverse])])
        remaining.remove(dropped[-1])
    return dropped


def _some(usable_scores: list[float], scores: Sequence[float]) -> list[float]:
    if not usable_scores:
        raise UserError(f"the proxy gave no score to choose by (all NaN or infinite): {list(scores)}")
    return usable_scores
