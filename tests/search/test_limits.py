"""Limits on sizes: sums against real networks, decisions and the largest architecture against brute force."""

import math
from functools import partial
from itertools import combinations, product
from random import Random

import pytest
import torch
from torch import nn

from foresight_ext import ORDERS, SPACES, Batch, Choice, MixedNode, MixedOp, Node, discretise
from foresight_ext.choices.space import NetworkSpace
from foresight_ext.errors import UserError
from foresight_ext.measures.complexity import complexity
from foresight_ext.randomness import seeded
from foresight_ext.search.choosing import dropped_edges
from foresight_ext.search.costs import Costs, running_only
from foresight_ext.search.limits import Limits
from foresight_ext.supernets.supernet import Supernet, decide, drop
from tests.toys import ToyProxy

BATCHES = [Batch(torch.zeros(1, 3, 8, 8), torch.tensor([number]), number) for number in range(30)]
X = torch.zeros(1, 3, 16, 16)


class Nested(Supernet):
    """Three choices, one of them in a candidate of the first, and a node of four edges that keeps two."""

    choices = (
        Choice("a", ("x", "y")),
        Choice("b", ("x", "y", "z"), within=(0, 1)),
        Choice("c", ("x", "y", "z")),
        *(Choice(f"edge{number}", ("x", "y")) for number in range(4)),
    )
    nodes = (Node("n", (3, 4, 5, 6), 2),)

    def forward(self, x, mixing):
        raise AssertionError("the toy proxy looks at the mixing only")


def architectures(supernet):
    """All discretised mixings of Nested."""
    rows = [list(range(len(choice.candidates))) for choice in supernet.choices]
    found = {}
    for kept in product(*rows):
        mixing = tuple((1.0,) * len(choice.candidates) for choice in supernet.choices)
        for choice, candidate in enumerate(kept):
            mixing = decide(mixing, choice, candidate)
        mixing = drop(mixing, 1) if kept[0] == 0 else mixing
        for edges in combinations((3, 4, 5, 6), 2):
            without = drop(drop(mixing, edges[0]), edges[1])
            found[without] = None
    return list(found)


def random_sizes(seed, names=("params", "flops"), most=40):
    """Sizes with random whole numbers for what each candidate adds."""
    draw = Random(seed)
    adds = {n: [[draw.randint(0, most) for _ in c.candidates] for c in Nested.choices] for n in names}

    def sizes(mixing):
        def of(rows):
            return 7 + sum(a for row, mine in zip(mixing, rows) for w, a in zip(row, mine) if w)

        return {name: of(rows) for name, rows in adds.items()}

    return sizes


def some_limits(seed, sizes, every):
    """Limits that some architectures meet, as far as two random numbers allow."""
    draw = Random(1000 + seed)
    columns = {name: sorted(sizes(one)[name] for one in every) for name in ("params", "flops")}
    return {name: column[draw.randrange(len(column) // 2)] for name, column in columns.items()}


@pytest.mark.parametrize("seed", range(12))
def test_every_answer_is_that_of_brute_force(seed):
    supernet, every = Nested(), architectures(Nested())
    sizes = random_sizes(seed)
    most = some_limits(seed, sizes, every)
    fit = [one for one in every if all(sizes(one)[name] <= most[name] for name in most)]
    if not fit:
        with pytest.raises(UserError, match="no architecture is within all of these limits"):
            Limits(supernet, sizes, most)
        return
    limits = Limits(supernet, sizes, most)
    assert limits.costs.least == {name: min(sizes(one)[name] for one in every) for name in most}
    assert limits.costs.largest == {name: max(sizes(one)[name] for one in every) for name in most}
    draw = Random(seed)
    for _ in range(20):  # decide and drop at random, as long as something fits
        mixing = tuple((0.5,) * len(choice.candidates) for choice in supernet.choices)
        left, dropped = list(range(len(supernet.choices))), 0
        while left or dropped < 2:
            if left:
                choice = left.pop(draw.randrange(len(left)))
                if not supernet.runs(mixing, choice):
                    continue
                options = list(range(len(mixing[choice])))
            else:
                choice = draw.choice([edge for edge in supernet.nodes[0].choices if any(mixing[edge])])
                options = [None]
            allowed = [one for one in options if limits(mixing, choice, one)]
            for one in options:
                after = drop(mixing, choice) if one is None else decide(mixing, choice, one)
                assert (one in allowed) == any(leads_to(after, architecture) for architecture in fit)
            if allowed:
                one = draw.choice(allowed)
                mixing = drop(mixing, choice) if one is None else decide(mixing, choice, one)
                dropped += one is None
    for within in ({}, {"params": most["params"]}, {"flops": most["flops"]}, most):
        found = limits.costs.largest_within("params", within)
        there = [one for one in every if all(sizes(one)[name] <= within[name] for name in within)]
        assert found in there
        assert sizes(found)["params"] == max(sizes(one)["params"] for one in there)


def random_costs(seed, every):
    """Measured costs, which are no sums; those of every seventh architecture are not known."""
    draw = Random(seed)
    costs = {one: draw.randint(0, 40) if number % 7 else math.inf for number, one in enumerate(every)}
    return {"latency": costs.get, "energy": lambda mixing: 0.5}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("with_sizes", [False, True])
def test_measured_costs_are_looked_up_as_brute_force_does(seed, with_sizes):
    supernet, every = Nested(), architectures(Nested())
    sizes, measured = random_sizes(seed), random_costs(seed, every)
    most = {"latency": 3, **({"params": some_limits(seed, sizes, every)["params"]} if with_sizes else {})}
    values = {one: {**sizes(one), "latency": measured["latency"](one)} for one in every}
    fit = [one for one in every if all(values[one][name] <= limit for name, limit in most.items())]
    assert 0 < len(fit) < len(every) / 5
    limits = Limits(supernet, sizes, most, measured=measured)
    draw = Random(seed)
    answers = set()
    for _ in range(20):
        mixing = tuple((0.5,) * len(choice.candidates) for choice in supernet.choices)
        for choice in draw.sample(range(len(supernet.choices)), 4):
            for one in range(len(mixing[choice])):
                leads = any(leads_to(decide(mixing, choice, one), architecture) for architecture in fit)
                assert limits(mixing, choice, one) == leads
                answers.add(leads)
            mixing = decide(mixing, choice, draw.randrange(len(mixing[choice])))
        for edge in supernet.nodes[0].choices:
            after = drop(mixing, edge)
            assert limits(mixing, edge, None) == any(leads_to(after, one) for one in fit)
    assert answers == {True, False}
    largest = limits.largest("params")
    assert largest in fit
    best = max(values[one]["params"] for one in fit)
    equal = [values[one]["flops"] for one in fit if values[one]["params"] == best]
    assert (values[largest]["params"], values[largest]["flops"]) == (best, min(equal))


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_ends_within_measured_limits(order):
    supernet, every = Nested(), architectures(Nested())
    measured = random_costs(0, every)
    proxy = ToyProxy([[Random(0).random() for _ in choice.candidates] for choice in supernet.choices])
    for seed in range(5):
        limits = Limits(supernet, random_sizes(0), {"latency": 1}, measured=measured)
        found = discretise(supernet, proxy, BATCHES, order, seed, allowed=limits)
        assert measured["latency"](running_only(supernet.choices, found.mixing)) <= 1


def test_a_share_is_one_of_the_largest_cost_that_is_known():
    every = architectures(Nested())
    limits = Limits(Nested(), random_sizes(0), {"latency": "60%"}, measured=random_costs(0, every))
    assert limits.most == {"latency": 24.0}


def leads_to(mixing, architecture):
    return all(row[new.index(1.0)] for row, new in zip(mixing, architecture) if any(new))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(4))
def test_every_order_ends_within_the_limits(order, seed):
    supernet, every = Nested(), architectures(Nested())
    sizes = random_sizes(seed)
    one = min(every, key=lambda one: sum(sizes(one).values()))
    most = {name: size + 4 for name, size in sizes(one).items()}  # which few meet
    draw = Random(seed)
    proxy = ToyProxy([[draw.random() for _ in choice.candidates] for choice in supernet.choices])
    free = discretise(supernet, proxy, BATCHES, order, seed)
    found = discretise(supernet, proxy, BATCHES, order, seed, allowed=Limits(supernet, sizes, most))
    architecture = running_only(supernet.choices, found.mixing)
    assert architecture in every
    assert all(sizes(architecture)[name] <= limit for name, limit in most.items())
    loose = dict.fromkeys(most, 10000)
    assert discretise(supernet, proxy, BATCHES, order, seed, allowed=Limits(supernet, sizes, loose)) == free


@pytest.mark.parametrize("seed", range(10))
def test_the_edges_that_are_kept_are_the_best_of_the_allowed_sets(seed):
    draw = Random(seed)
    scores = [draw.randint(0, 4) for _ in range(5)]
    sets = list(combinations(range(5), 2))
    allowed = draw.sample(sets, 4)

    def may_drop(dropped, position):
        return any(not {*dropped, position} & set(one) for one in allowed)

    lost = dropped_edges(scores, 2, may_drop)
    # the worst edge of the set counts first
    best = min(sorted((scores[edge] for edge in one), reverse=True) for one in allowed)
    kept = tuple(edge for edge in range(5) if edge not in lost)
    assert kept in allowed
    assert sorted((scores[edge] for edge in kept), reverse=True) == best
    assert dropped_edges(scores, 2) == dropped_edges(scores, 2, lambda dropped, position: True)


def costs_of(space, x=X, classes=10):
    with seeded(0):
        supernet = space.build_supernet(classes)
    return supernet, Costs(supernet, partial(space.sizes, supernet, x=x, classes=classes))


@pytest.mark.parametrize("name", SPACES)
def test_in_every_space_sizes_are_those_of_the_real_networks(name):
    """Of random architectures, what each is within and the one below."""
    space = SPACES.get(name)().smallest()
    supernet, costs = costs_of(space)
    for seed in range(6):
        found = discretise(supernet, ToyProxy([]), BATCHES, "sample", seed)
        genotype = space.genotype(found.mixing)
        with seeded(0):
            real = complexity(space.build_network(genotype, 10), tuple(X.shape[1:]))
        most = {"params": real.parameters, "flops": real.multiply_adds}
        assert space.sizes(supernet, found.mixing, X, 10) == most
        for size in most:
            assert costs.within(found.mixing, {size: most[size]})
            assert not costs.within(found.mixing, {size: most[size] - 1})
    largest = costs.largest_within("params", {})
    assert space.sizes(supernet, largest, X, 10)["params"] == costs.largest["params"]
    half = {"params": 0.6 * costs.largest["params"], "flops": 0.8 * costs.largest["flops"]}
    if name != "s6":  # whose architectures are all of one size
        smaller = space.sizes(supernet, costs.largest_within("params", half), X, 10)
        assert all(smaller[size] <= half[size] for size in half)


def test_nasbench201s_largest_within_limits_is_that_of_brute_force():
    space = SPACES.get("nas-bench-201")(init_channels=2, cells=1)
    supernet, costs = costs_of(space)
    numbers = [(p, f) for p, f in zip(*(_adds(costs, size) for size in ("params", "flops")))]
    base = costs.least
    every = {
        (base["params"] + sum(p for p, _ in kept), base["flops"] + sum(f for _, f in kept))
        for kept in product(numbers, repeat=6)
    }
    most = {"params": 0.5 * costs.largest["params"], "flops": 0.45 * costs.largest["flops"]}
    best = max(p for p, f in every if p <= most["params"] and f <= most["flops"])
    found = costs.largest_within("params", most)
    assert space.sizes(supernet, found, X, 10)["params"] == best


def _adds(costs, name):
    """What the five operations of an edge add, from architectures with one of them."""
    none = costs.mixing([(edge, 0) for edge in range(6)])
    return [costs._sizes(decide(none, 0, op))[name] - costs._sizes(none)[name] for op in range(5)]


def test_darts_largest_architecture_is_s6s():
    (_, s5), (_, s6) = (costs_of(SPACES.get(name)()) for name in ("s5", "s6"))
    assert s5.largest["params"] == s6.largest["params"] == s6.least["params"]
    space = SPACES.get("s5")()
    genotype = space.genotype(s5.largest_within("params", {}))
    assert genotype.count("sep_conv_5x5") == 16


def branchy():
    """A node of three edges, one of them with a choice of its own inside."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            inner = nn.Sequential(nn.Conv2d(3, 3, 1), MixedOp([nn.Identity(), nn.Conv2d(3, 3, 3, padding=1)]))
            edges = [[nn.Identity(), inner]] + [[nn.Identity(), nn.Conv2d(3, 3, 1)] for _ in range(2)]
            self.node = MixedNode([MixedOp(one) for one in edges], keep=2)
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.node([x] * 3).mean((2, 3)))

    return Net()


def test_nodes_and_choices_in_candidates_of_ones_own_network():
    space = NetworkSpace(branchy)
    supernet, costs = costs_of(space, classes=2)
    assert (costs.least["params"], costs.largest["params"]) == (8, 8 + 12 + 84 + 12)
    limits = Limits(supernet, partial(space.sizes, supernet, x=X, classes=2), {"params": 40})
    for order in ORDERS:
        for seed in range(3):
            found = discretise(supernet, "params", BATCHES, order, seed, allowed=limits)
            network = space.build_network(space.genotype(found.mixing), 2)
            assert sum(weight.numel() for weight in network.parameters()) <= 40


def test_a_rule_of_ones_own_holds_where_a_node_loses_edges():
    supernet = Nested()

    def feasible(mixing):
        return any(mixing[3]) and not any(mixing[5])

    limits = Limits(supernet, random_sizes(0), {}, feasible)
    for order in ORDERS:
        proxy = ToyProxy([[1, 2], [1, 2, 3], [1, 2, 3], [0, 0], [5, 5], [9, 9], [7, 7]])
        found = discretise(supernet, proxy, BATCHES, order, allowed=limits)
        assert feasible(found.mixing)


@pytest.mark.parametrize(
    "at_most, message",
    [
        ({"parms": 1}, "at_most: there is no size 'parms': choose from params, flops"),
        ({"params": "many"}, "at_most params=many: it must be a positive number, or a share such as 60%"),
        ({"params": math.nan}, "at_most params=nan: it must be a positive number"),
        ({"params": 6}, "at_most params=6: the smallest architecture has "),
    ],
    ids=str,
)
def test_limits_that_can_not_be_are_told(at_most, message):
    with pytest.raises(UserError) as error:
        Limits(Nested(), random_sizes(0), at_most)
    assert str(error.value).startswith(message)


def test_limits_that_exclude_each_other_are_told():
    def sizes(mixing):
        return {"params": 10 + 5 * mixing[2][0], "flops": 10 + 5 * mixing[2][1] + 5 * mixing[2][2]}

    with pytest.raises(UserError, match="^at_most params=10,flops=10: no architecture is within all"):
        Limits(Nested(), sizes, {"params": 10, "flops": 10})
    costs = Costs(Nested(), sizes)
    with pytest.raises(UserError, match="no architecture is within all of these limits"):
        costs.largest_within("params", {"params": 10, "flops": 10})


@pytest.mark.parametrize(
    "at_most, message",
    [
        (
            {"latncy": 1},
            "at_most: there is no size 'latncy': choose from params, flops, latency, energy, none",
        ),
        ({"energy": 0.25}, "at_most energy=0.25: the smallest architecture has 0.5"),
        ({"energy": "-1%"}, "at_most energy=-1%: it must be a positive number, or a share such as 60%"),
        ({"params": 8, "energy": 0.5}, "at_most params=8,energy=0.5: no architecture is within all"),
        ({"none": 1}, "at_most none: it is not known of any architecture of this space"),
    ],
    ids=str,
)
def test_measured_limits_that_can_not_be_are_told(at_most, message):
    def sizes(mixing):
        return {"params": 8 + 2 * mixing[0][1], "flops": 8}

    measured = {
        "latency": lambda mixing: 2,
        "energy": lambda mixing: 0.5 + 0.25 * mixing[0][0],  # what is cheap is large
        "none": lambda mixing: math.inf,
    }
    with pytest.raises(UserError) as error:
        Limits(Nested(), sizes, at_most, measured=measured)
    assert str(error.value).startswith(message)


def test_measured_costs_need_a_space_that_can_be_gone_through():
    class Large(Supernet):
        choices = tuple(Choice(str(number), ("x", "y")) for number in range(20))

        def forward(self, x, mixing):
            raise AssertionError

    told = "measured costs are limited in spaces of up to 1,000,000 architectures, and this one has 1,048,576"
    with pytest.raises(UserError, match=told):
        Limits(Large(), random_sizes(0), {"latency": 1}, measured={"latency": lambda mixing: 1})


def test_sizes_that_are_no_sums_are_told():
    with pytest.raises(UserError, match="sizes of this space are no sums of what each candidate adds"):
        Costs(Nested(), lambda mixing: {"params": 1 + mixing[0][0] * mixing[2][0]})


def test_too_many_sums_for_an_exact_answer_are_told():
    costs = Costs(Nested(), random_sizes(0, most=10**9))
    with pytest.raises(UserError, match="sums are too many to go through for the exact answer"):
        costs.largest_within("params", {"params": costs.largest["params"] - 1})
