"""The eight edge orders on the toy space, each with its visits worked out by hand."""

import math

import numpy as np
import pytest

from foresight_ext.search.orders import ORDERS
from tests.toys import ToyProxy, first_labels, toy_search

# choices a b c (normal) and d e f (reduce). A removal's score is the rest's sum: the highest value wins.
VALUES = ((1, 4), (3, 2), (9, 1, 3), (5, 6), (2, 8), (7, 1))
GENOTYPE = "yxx" + "yyx"
# best candidates: a 4, b 3, c 9 | d 6, e 8, f 7. Means: a 2.5, b 2.5, c 13/3 | d 5.5, e 5, f 4;
# the lowest score belongs to the highest value: c a b | e f d, and by means c a b | d e f
VISITS = {
    "order": "adbecf",
    "reverse": "cfbead",
    "global_op_greedy": "ceafbd",
    "global_op_once": "ceafbd",
    "global_edge_greedy": "cdaebf",
    "global_edge_once": "cdaebf",
}
NAMES = "abcdef"


def discretised(name, **kwargs):
    proxy = ToyProxy(VALUES)
    search = toy_search(ORDERS.get(name), proxy, **kwargs)
    draws = search.draw()
    genotype, decisions = search.discretise(draws)
    return genotype, decisions, draws, proxy


def test_every_order_is_tested():
    assert set(ORDERS) == {*VISITS, "random", "sample"}


@pytest.mark.parametrize("name", VISITS)
def test_visits_by_hand(name):
    genotype, decisions, _, _ = discretised(name)
    assert "".join(NAMES[one.choice] for one in decisions) == VISITS[name]
    assert genotype == GENOTYPE


def test_random_visits_come_from_numpy_one_group_after_the_other():
    genotype, decisions, _, _ = discretised("random", seed=3)
    assert genotype == GENOTYPE
    numpy = np.random.RandomState(3)
    groups = [[0, 1, 2], [3, 4, 5]]
    expected = []
    for _ in range(3):
        for group in groups:
            expected.append(int(numpy.choice(group, size=1)[0]))
            group.remove(expected[-1])
    assert [one.choice for one in decisions] == expected


def test_sample_draws_edge_and_operation_and_scores_nothing():
    genotype, decisions, draws, proxy = discretised("sample", seed=5)
    numpy = np.random.RandomState(5)
    groups = [[0, 1, 2], [3, 4, 5]]
    for one in decisions:
        group = groups[one.choice > 2]
        assert one.choice == numpy.choice(group, size=1)[0]
        assert one.candidate == numpy.choice(len(VALUES[one.choice]), size=1)[0]
        assert one.scores is None
        group.remove(one.choice)
    assert proxy.batches == []
    assert len(draws.plan.operation_steps) == 3 and draws.batches == ()
    assert [genotype["abcdef".index(NAMES[one.choice])] for one in decisions] == [
        "xyz"[one.candidate] for one in decisions
    ]


@pytest.mark.parametrize(
    "name, opening, each",
    [("random", 0, 1), ("order", 0, 1), ("global_op_greedy", 0, 1), ("global_edge_greedy", 0, 2)]
    + [("global_op_once", 1, 1), ("global_edge_once", 1, 1), ("sample", 0, 0)],
)
def test_minibatches_each_order_takes(name, opening, each):
    _, _, draws, proxy = discretised(name)
    assert len(draws.batches) == draws.plan.minibatches == opening + 3 * each
    # both groups of a step are scored on the step's minibatches, in turn
    labels = first_labels(draws.batches)
    expected = labels[:opening] * 2
    labels = labels[opening:]
    for step in range(3):
        expected += labels[step * each : (step + 1) * each] * 2
    assert proxy.batches == ([] if name == "sample" else expected)


def test_edge_greedy_compares_means_and_scores_again():
    """The mean picks the choice on the first minibatch, the second minibatch picks the candidate."""
    _, decisions, draws, _ = discretised("global_edge_greedy")
    assert decisions[0].scores == [52 - 9, 52 - 1, 52 - 3]


@pytest.mark.parametrize("name", VISITS)
def test_nan_is_never_chosen(name):
    """Keeping x on c would be best, but the score of its removal is NaN: the next best stays."""

    class NanProxy(ToyProxy):
        def score_mixings(self, supernet, mixings, batch):
            scores = super().score_mixings(supernet, mixings, batch)
            return [math.nan if m[2] == (0, 1, 1) else score for m, score in zip(mixings, scores)]

    search = toy_search(ORDERS.get(name), NanProxy(VALUES))
    genotype, _ = search.discretise(search.draw())
    assert genotype == "yxz" + "yyx"
