"""The pure core: what it takes, what it returns, groups of unequal size, plans, minibatches that go round."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from foresight_ext import ORDERS, Batch, Choice, Node, discretise
from foresight_ext.errors import UserError
from foresight_ext.randomness import seeded
from foresight_ext.search.discretise import draw_plan
from foresight_ext.search.orders import Decision, Pruning
from nasbench201.supernet import NASBench201Supernet
from tests.toys import ToyProxy, ToySupernet

VALUES = ((1, 4), (3, 2), (9, 1, 3), (5, 6), (2, 8), (7, 1))
ONES = tuple((1.0,) * len(row) for row in VALUES)
BATCHES = [Batch(torch.zeros(1, 3, 8, 8), torch.tensor([number]), number) for number in range(20)]


class Uneven(ToySupernet):
    """Three groups of 1, 3 and 2 choices; the nodes of two of them keep one of their choices."""

    choices = tuple(
        Choice(choice.name, choice.candidates, group)
        for choice, group in zip(ToySupernet.choices, ("stem", "body", "body", "body", "head", "head"))
    )
    nodes = (Node("n", (1, 2), 1, "body"), Node("m", (2, 3), 1, "body"), Node("k", (4, 5), 1, "head"))


def test_kept_candidates_and_decisions_by_hand():
    """A removal's score is the sum of what is left, so the largest value of each choice stays."""
    found = discretise(ToySupernet(), ToyProxy(VALUES), BATCHES, "order", mixing=ONES)
    assert found.kept == {"a": "y", "b": "x", "c": "x", "d": "y", "e": "y", "f": "x"}
    assert [(one.choice, one.candidate) for one in found.decisions] == [
        (0, 1),
        (3, 1),
        (1, 0),
        (4, 1),
        (2, 0),
        (5, 0),
    ]
    assert found.decisions[0] == Decision(0, 1, [52 - 1, 52 - 4])
    assert found.mixing == ((0, 1), (1, 0), (1, 0, 0), (0, 1), (0, 1), (1, 0))


@pytest.mark.parametrize("name", ORDERS)
def test_a_group_that_is_finished_waits_for_the_others(name):
    supernet, proxy = Uneven(), ToyProxy(VALUES)
    found = discretise(supernet, proxy, BATCHES, name, seed=3, mixing=ONES)
    operations = [one for one in found.decisions if isinstance(one, Decision)]
    prunings = [one for one in found.decisions if isinstance(one, Pruning)]
    assert sorted(one.choice for one in operations) == list(range(6))
    assert sorted(one.node for one in prunings) == [0, 1, 2]
    groups = [supernet.choices[one.choice].group for one in operations]
    assert groups == ["stem", "body", "head", "body", "head", "body"]
    assert [supernet.nodes[one.node].group for one in prunings] == ["body", "head", "body"]
    if name != "sample":
        kept = {name: value for name, value in found.kept.items() if value is not None}
        assert kept.items() <= {"a": "y", "b": "x", "c": "x", "d": "y", "e": "y", "f": "x"}.items()
    # one minibatch a step for all groups, as in the spaces whose groups are of one size
    plan = draw_plan(ORDERS.get(name), supernet, np.random.RandomState(3))
    each, opening = ORDERS.get(name).step_batches, int(ORDERS.get(name).opening)
    assert plan.minibatches == (opening + 3 * each + 2 if name != "sample" else 0)


@pytest.mark.parametrize("name", ORDERS)
def test_it_goes_on_from_any_decision_and_reads_only_what_it_needs(name):
    whole = discretise(Uneven(), ToyProxy(VALUES), BATCHES, name, seed=5, mixing=ONES)
    for count in range(len(whole.decisions) + 1):
        proxy, fresh = ToyProxy(VALUES), []
        found = discretise(
            Uneven(),
            proxy,
            BATCHES,
            name,
            seed=5,
            mixing=ONES,
            done=whole.decisions[:count],
            report=fresh.append,
        )
        assert found == whole
        assert fresh == whole.decisions[count:]
    assert proxy.batches == []


def test_only_some_choices_and_nodes_by_a_plan():
    supernet = Uneven()
    plan = draw_plan(ORDERS.get("reverse"), supernet, np.random.RandomState(0), [1, 2, 4], [0])
    mixing = ((0.0, 1.0), *ONES[1:3], (1.0, 0.0), ONES[4], (0.0, 0.0))
    found = discretise(supernet, ToyProxy(VALUES), BATCHES, plan, mixing=mixing)
    assert [one[0] for one in found.decisions] == [2, 4, 1, 0]
    assert found.kept == {"a": "y", "b": None, "c": "x", "d": "x", "e": "y", "f": None}
    assert plan.minibatches == 2 + 1


# ---- a real supernet, and what can be given as minibatches


@pytest.fixture(scope="module")
def supernet():
    with seeded(0):
        return NASBench201Supernet(channels=4, cells=1, classes=10)


def pairs(count, images=8):
    draw = torch.Generator().manual_seed(1)
    return [(torch.randn(images, 3, 16, 16, generator=draw), torch.arange(images) % 10) for _ in range(count)]


def test_pairs_a_loader_and_a_generator_give_the_same(supernet):
    given = pairs(6)
    whole = discretise(supernet, "jacob", given, seed=1)
    assert set(whole.kept) == {"1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2"}
    assert discretise(supernet, "jacob", iter(given), seed=1) == whole
    images, labels = (torch.cat(tensors) for tensors in zip(*given))
    loader = DataLoader(TensorDataset(images, labels), batch_size=8)
    assert discretise(supernet, "jacob", loader, seed=1) == whole
    assert discretise(supernet, "jacob", given, seed=2) != whole


def test_minibatches_go_round_where_they_are_few(supernet):
    two = pairs(2)
    assert discretise(supernet, "jacob", two) == discretise(supernet, "jacob", two * 3)
    images, labels = (torch.cat(tensors) for tensors in zip(*two))
    loader = DataLoader(TensorDataset(images, labels), batch_size=8)
    assert discretise(supernet, "jacob", loader) == discretise(supernet, "jacob", two)


def test_proxies_with_labels_and_draws_repeat(supernet):
    for proxy in ("snip", "meco"):
        assert discretise(supernet, proxy, pairs(2)) == discretise(supernet, proxy, pairs(2))


def test_what_is_no_supernet_is_told():
    with pytest.raises(UserError, match="^supernet: a Linear is given: supernet_of makes one of a network"):
        discretise(nn.Linear(1, 1), "snip", pairs(2))


@pytest.mark.parametrize(
    "batches, message",
    [
        ([], "batches: there is no minibatch"),
        (iter(pairs(2)), "batches: it ended after 2 and can't be read again"),
        (pairs(1)[0], "batches: a minibatch is a Tensor: it must be a pair of images and labels"),
        ([(torch.zeros(2, 3, 8, 8),) * 3], "batches: a minibatch is a tuple: it must be a pair"),
        ([(torch.zeros(2, 3, 8, 8), torch.zeros(3))], "batches: a minibatch has 2 images and 3 labels"),
        ([(torch.zeros(2, 3, 8, 8), [0, 1])], "batches: a minibatch's labels are a list: they must be"),
    ],
    ids=["none", "too few", "one pair alone", "three items", "too many labels", "labels in a list"],
)
def test_minibatches_that_can_not_be_used_are_told(supernet, batches, message):
    with pytest.raises(UserError) as error:
        discretise(supernet, "jacob", batches)
    assert str(error.value).startswith(message)


def test_names_that_are_unknown_are_told(supernet):
    with pytest.raises(UserError, match="unknown proxy 'jacobi'"):
        discretise(supernet, "jacobi", pairs(1))
    with pytest.raises(UserError, match="unknown edge order 'first'"):
        discretise(supernet, "jacob", pairs(1), "first")


def test_it_prints_and_writes_nothing_and_leaves_the_global_stream(supernet, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state()
    discretise(supernet, "jacob", pairs(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_choice_without_a_usable_score_is_told_by_its_name():
    class Nothing(ToyProxy):
        def score_mixings(self, supernet, mixings, batch):
            return [float("nan")] * len(mixings)

    with pytest.raises(UserError, match="^toy on a, b, c: the proxy gave no score to choose by"):
        discretise(ToySupernet(), Nothing(VALUES), BATCHES, "global_op_greedy", mixing=ONES)
