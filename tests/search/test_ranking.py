"""Correlations of tables of scores and what they would keep, worked out by hand."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from foresight_ext.search.atlas import Scored, Step
from foresight_ext.search.ranking import (
    correlation_matrix,
    mean_rows,
    picked,
    picked_after,
    rank_correlation,
    table_correlation,
    worth,
)

INFINITY = math.inf


def test_rank_correlation_by_hand():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, -INFINITY]) == pytest.approx(-1)
    # ranks 2134 against 1234: 1 - 6 * 2 / (4 * 15)
    assert rank_correlation([2, 1, 3, 4], [1, 2, 3, 4]) == pytest.approx(0.8)
    assert rank_correlation([5, 5, 5], [1, 2, 3]) == 0
    tied, other = [3, 1, 1, 7, -2], [0, 4, 2, 9, 1]
    assert rank_correlation(tied, other) == pytest.approx(spearmanr(tied, other).statistic)


def test_tables_are_compared_on_the_choices_of_both():
    first, second = {0: [1, 2, 3], 2: [3, 2, 1]}, {0: [1, 2, 3], 1: [9, 9, 9], 2: [1, 2, 3]}
    assert table_correlation(first, second) == pytest.approx(0)
    assert table_correlation({0: [1, 2, 3]}, second) == pytest.approx(1)
    third = {0: [1, 3, 2], 2: [8, 8, 8]}  # ranks 132 against 123: 1 - 6 * 2 / (3 * 8) = 0.5
    assert correlation_matrix([first, third]) == pytest.approx(np.array([[1, 0.25], [0.25, 0.5]]))


def test_what_scores_say_of_candidates():
    rows = {4: [2, math.nan, -INFINITY, INFINITY, 1]}
    # without the third candidate the kernel is singular: no candidate is worth more
    assert worth(rows, "removal") == {4: [-2, -INFINITY, INFINITY, -INFINITY, -1]}
    assert worth(rows, "one_hot") == {4: [2, -INFINITY, -INFINITY, -INFINITY, 1]}
    assert picked(rows, "removal") == [2]
    assert picked(rows, "one_hot") == [0]
    assert picked({0: [3, 3], 1: [1, 0]}, "one_hot") == [0, 0]
    assert picked({0: [3, 3], 1: [1, 0]}, "removal") == [0, 1]
    assert picked({0: [1, 2], 1: [math.nan, INFINITY]}, "one_hot") is None


def test_means_and_picks_after_decisions():
    mean = mean_rows([{0: [1, math.nan], 1: [0, 4]}, {0: [3, 1], 1: [-INFINITY, 0]}])
    assert mean[0][0] == 2
    assert math.isnan(mean[0][1])
    assert mean[1] == [-INFINITY, 2]
    step = Step((1, 0), Scored({2: [5, 4], 3: [1, 2]}, {2: [5, 4], 3: [1, 2]}), 1)
    assert picked_after(step, "removal") == [1, 0, 1, 0]
    assert picked_after(step, "one_hot") == [1, 0, 0, 1]
    assert picked_after(Step((1,), Scored({2: [math.nan]}, {}), 0), "removal") is None
