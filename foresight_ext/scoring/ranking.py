"""How scores of networks go together with their accuracies, and where a network stands among others."""

import math
from collections.abc import Sequence


def correlations(scores: Sequence[float], accuracies: Sequence[float]) -> dict[str, float | int | None]:
    """Spearman's and Kendall's rank correlation of scores that are higher when better; None if undefined.

    A score that is NaN or plus infinity says nothing: it is left out, and counted as `unusable`.
    """
    from scipy.stats import kendalltau, spearmanr

    pairs = [(score, accuracy) for score, accuracy in zip(scores, accuracies) if score < math.inf]
    result: dict[str, float | int | None] = {"unusable": len(scores) - len(pairs)}
    distinct = [len(set(column)) for column in zip(*pairs)]
    for name, correlation in (("spearman", spearmanr), ("kendall", kendalltau)):
        defined = len(distinct) == 2 and min(distinct) > 1
        result[name] = round(float(correlation(*zip(*pairs)).statistic), 4) if defined else None
    return result


def rank(score: float, others: Sequence[float]) -> int | None:
    """1 + how many of the others' scores are strictly higher; None of a score that says nothing.

    Scores are higher when better. NaN and plus infinity say nothing, of the others neither.
    """
    if not score < math.inf:
        return None
    return 1 + sum(score < other < math.inf for other in others)
