"""Operation scores: the rule that picks, and removals that are scored once."""

import math

import pytest
import torch

from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch
from foresight_ext.search.choosing import highest, lowest
from foresight_ext.search.scoring import operation_scores
from foresight_ext.supernets.supernet import decide, remove, softmax_mixing
from tests.toys import ToyProxy, ToySupernet

BATCH = Batch(torch.zeros(1, 3, 8, 8), torch.zeros(1))
MIXING = ((1.0, 1.0), (1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0))
VALUES = ((1, 2), (3, 4), (5, 6, 7), (0, 0), (0, 0), (0, 0))


def test_the_first_lowest_wins_and_nan_and_infinity_never():
    assert lowest([3.0, 1.0, 1.0]) == 1
    assert lowest([math.nan, 2.0, math.inf, 1.0]) == 3
    assert lowest([5.0, -math.inf, math.nan]) == 1
    assert highest([1.0, 3.0, 3.0, math.nan, math.inf]) == 1
    assert highest([-math.inf, -math.inf]) == 0
    for pick in (lowest, highest):
        with pytest.raises(UserError, match="no score to choose by"):
            pick([math.nan, math.inf])


def test_mixings_by_hand():
    mixing = softmax_mixing(torch.tensor([[0.0, 0.0], [0.0, math.log(3)]]))
    assert mixing == ((0.5, 0.5), (pytest.approx(0.25), pytest.approx(0.75)))
    assert remove(mixing, 0, 1) == ((0.5, 0.0), mixing[1])  # the others are not renormalised
    assert decide(mixing, 1, 0) == (mixing[0], (1.0, 0.0))


def test_removal_scores_by_hand():
    # all values sum to 28; without candidate o of choice e: 28 - value(e, o)
    scores = operation_scores(ToyProxy(VALUES), ToySupernet(), MIXING, [0, 2], BATCH)
    assert scores == {0: [27, 26], 2: [23, 22, 21]}


def test_lower_is_better_proxies_are_negated():
    proxy = ToyProxy(VALUES)
    proxy.higher_is_better = False
    assert operation_scores(proxy, ToySupernet(), MIXING, [0], BATCH) == {0: [-27, -26]}


def test_removals_that_leave_the_same_network_are_scored_once():
    class FirstNeverMatters(ToySupernet):
        def effective(self, mixing):
            return tuple((0.0, *row[1:]) for row in mixing)

    seen = []

    class Counting(ToyProxy):
        def score_mixings(self, supernet, mixings, batch):
            seen.extend(mixings)
            return super().score_mixings(supernet, mixings, batch)

    scores = operation_scores(Counting(VALUES), FirstNeverMatters(), MIXING, [0, 1, 2], BATCH)
    assert scores[0][0] == scores[1][0] == scores[2][0] == 2 + 4 + 6 + 7
    assert len(seen) == len(set(seen)) == 1 + 1 + 1 + 2
