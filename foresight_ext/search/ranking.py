"""How well scores rank operations: correlations of tables of scores, and what each table would keep."""

import math
from collections.abc import Sequence

import numpy as np

from foresight_ext.search.atlas import Rows, Step
from foresight_ext.search.choosing import NoScore, highest, lowest


def worth(rows: Rows, kind: str) -> Rows:
    """Scores of a `kind` of atlas.Scored as what candidates are worth, the higher the better.

    What could never be chosen (NaN and plus infinity, see choosing.usable) is worth least.
    """
    sign = -1 if kind == "removal" else 1
    return {
        choice: [sign * one if one < math.inf else -math.inf for one in row] for choice, row in rows.items()
    }


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's correlation, ties share a rank; 0 if all of one side are equal, which tells nothing."""
    return float(_standardised(first) @ _standardised(second))


def _standardised(scores: Sequence[float]) -> np.ndarray:
    """Ranks less their mean, of length 1; zeros where all are equal."""
    from scipy.stats import rankdata  # takes half as long as PyTorch: only where it is needed

    ranks = rankdata(scores) - (len(scores) + 1) / 2
    length = math.sqrt(float(ranks @ ranks))
    centred: np.ndarray = ranks / length if length else ranks
    return centred


def table_correlation(first: Rows, second: Rows) -> float:
    """The mean of the rank correlations over the choices that both have (Zero-Cost-PT, section 3)."""
    both = [choice for choice in first if choice in second]
    return sum(rank_correlation(first[choice], second[choice]) for choice in both) / len(both)


def correlation_matrix(tables: Sequence[Rows]) -> np.ndarray:
    """The correlations (n x n) of n tables of the same choices."""
    rows = np.array([np.concatenate([_standardised(row) for row in table.values()]) for table in tables])
    matrix: np.ndarray = rows @ rows.T / len(tables[0])
    return matrix


def mean_rows(tables: Sequence[Rows]) -> Rows:
    """The mean of some tables of the same choices; what is unusable in one is so in the mean."""
    return {
        choice: [sum(column) / len(tables) for column in zip(*(table[choice] for table in tables))]
        for choice in tables[0]
    }


def picked(rows: Rows, kind: str) -> list[int] | None:
    """What each choice would keep by its scores, the first of equals; None if one has no usable score."""
    keep = lowest if kind == "removal" else highest
    try:
        return [keep(row) for row in rows.values()]
    except NoScore:
        return None


def picked_after(step: Step, kind: str) -> list[int] | None:
    """The same at a decision: what is decided, and what the others would keep at once."""
    rest = picked(getattr(step.scored, kind), kind)
    return None if rest is None else [*step.decided, *rest]
