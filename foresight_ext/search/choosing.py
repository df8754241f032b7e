"""Which of some scores decides: the lowest or the highest that is usable."""

import math
from collections.abc import Callable, Sequence

from foresight_ext.errors import UserError


class NoScore(UserError):
    """No score is usable."""


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


def dropped_edges(
    edge_scores: Sequence[float],
    keep: int,
    may_drop: Callable[[list[int], int], bool] = lambda dropped, position: True,
) -> list[int]:
    """Positions of the edges that a node loses: the highest score first, the last of equals.

    `may_drop` is asked, of those that are dropped and another one, whether that may go as well.
    """
    remaining, dropped = list(range(len(edge_scores))), list[int]()
    while len(remaining) > keep:
        reverse = [position for position in remaining[::-1] if may_drop(dropped, position)]
        dropped.append(reverse[highest([edge_scores[position] for position in reverse])])
        remaining.remove(dropped[-1])
    return dropped


def _some(usable_scores: list[float], scores: Sequence[float]) -> list[float]:
    if not usable_scores:
        raise NoScore(f"the proxy gave no score to choose by (all NaN or infinite): {list(scores)}")
    return usable_scores
