"""Every proxy decides in every space, and in a network of choices, under every order; all small as can be."""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

from foresight_ext.choices.mixed import MixedNode
from foresight_ext.choices.space import NetworkSpace
from foresight_ext.choices.supernet import NetworkSupernet
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES, Proxy, vkdnw_entropy
from foresight_ext.measures.combination import Combination
from foresight_ext.measures.jacob import KernelProxy
from foresight_ext.measures.linear_regions import LinearRegions
from foresight_ext.measures.proxy import in_passes, mixings_scores, network_score, network_scores
from foresight_ext.measures.zen import Zen
from foresight_ext.randomness import fix_noise, seeded
from foresight_ext.search import SPACES
from foresight_ext.search.discretise import discretise, draw_plan
from foresight_ext.search.orders import ORDERS, Decision
from foresight_ext.supernets.supernet import Masked, decide, drop, remove
from tests.choices.networks import Cell, Plain

OWN = {"a network": NetworkSpace(Plain), "a node": NetworkSpace(Cell)}  # with MixedOps
# the same proxies with less work
SMALLER = {"zen": Zen(repeats=1), "linear_regions": LinearRegions(images=20)}
# pixels a side of the images, of 8 unless the network makes one pixel of them: batch norms train on two
SIDES = {"mobilenet": 64, "nas-bench-macro": 16}
# in place of what is never run: one for all, which whoever looks at all modules sees once
NOTHING = nn.Identity()


@pytest.fixture(autouse=True)
def fewer_tensors(monkeypatch):
    """A derivative for each of a few tensors, not of 128: the same steps in a tenth of the time."""
    monkeypatch.setattr(vkdnw_entropy.PROXY, "tensors", 8)


class Small:
    """Two edges of the first group, one of each other and a node of each are undecided.

    The other edges keep what costs least. Where there are nodes, edges that end elsewhere are dropped. All
    minibatches are the same four images, in double precision.
    """

    def __init__(self, space):
        self.space = space
        with seeded(0):
            self.supernet, self.mixing = space.begin(classes=4)
        if space.name == "mobilenet":  # of 1,000 classes; a proxy may take a backward pass for each
            classifier = self.supernet.network.classifier
            self.supernet.network.classifier = nn.Linear(classifier.in_features, 4)
        self.supernet.double()
        draw = torch.Generator().manual_seed(0)
        side = SIDES.get(space.name, 8)
        inputs = torch.randn(4, 3, side, side, generator=draw, dtype=torch.float64)
        self.batch = Batch(inputs, torch.arange(4) // 2, 5)  # two of a class: a proxy may compare them
        self.choices = sorted({*_first(self.supernet.choices), *range(2)})
        self.nodes = _first(self.supernet.nodes)
        ending = {choice for node in self.nodes for choice in self.supernet.nodes[node].choices}
        self._kept = {}  # by edges that are decided already; None: dropped
        for index in range(len(self.supernet.choices)):
            if index not in self.choices:
                self._kept[index] = self._cheapest(index) if index in ending or not ending else None
        for choice, candidate in self._kept.items():
            mixing = self.mixing
            self.mixing = drop(mixing, choice) if candidate is None else decide(mixing, choice, candidate)
        self._shed()

    def _cheapest(self, index):
        names = self.supernet.choices[index].candidates
        if isinstance(self.supernet, NetworkSupernet):
            sizes = [
                sum(w.numel() for w in one.parameters())
                for one in self.supernet.operations[index][0].candidates
            ]
            return sizes.index(min(sizes))
        return names.index("skip_connect") if "skip_connect" in names else len(names) - 1

    def _shed(self):
        """Put nothing in place of operations that are never run: most of the time goes by looking at them."""
        if isinstance(self.supernet, NetworkSupernet):
            for choice, keep in self._kept.items():
                for mixed in self.supernet.operations[choice]:
                    for index in range(len(mixed.candidates)):
                        if keep is not None and index != keep:
                            mixed.candidates[index] = NOTHING
        for cell in self.supernet.modules():
            if hasattr(cell, "edges") and not isinstance(cell, MixedNode):
                first = len(cell.edges) if getattr(cell, "reduction", False) else 0
                for edge, operations in enumerate(cell.edges):
                    for index in range(len(operations)):
                        if self._kept.get(first + edge, index) != index:
                            operations[index] = NOTHING

    def discretised(self, proxy, order):
        plan = draw_plan(order, self.supernet, np.random.RandomState(0), self.choices, self.nodes)
        return discretise(self.supernet, proxy, [self.batch], plan, mixing=self.mixing)


def _first(items):
    """The index of the first item of each group."""
    groups = {}
    for index, item in enumerate(items):
        groups.setdefault(item.group, index)
    return [*groups.values()]


class Recorded(Proxy):
    """A proxy that scores each mixing once, whatever the order and whatever else is scored with it."""

    def __init__(self, proxy, small):
        self.name = proxy.name
        self.proxy = proxy
        self.higher_is_better = proxy.higher_is_better
        self.source = proxy.source
        self.small = small
        self.scores = {}

    def score(self, network, batch):
        return self.proxy.score(network, batch)

    def score_mixings(self, supernet, mixings, batch):
        for mixing in mixings:
            if mixing not in self.scores:
                [self.scores[mixing]] = self.proxy.score_mixings(supernet, [mixing], batch)
        return [self.scores[mixing] for mixing in mixings]

    def recorded(self, mixing):
        """The recorded score of a mixing, the higher the better."""
        return self.signed(self.scores[self.small.supernet.effective(mixing)])


@functools.cache
def small(space):
    return Small(OWN[space] if space in OWN else SPACES.get(space)().smallest())


@functools.cache
def recorded(space, name):
    proxy = SMALLER.get(name, PROXIES.get(name))
    if isinstance(proxy, Combination):
        return Combination([recorded(space, part.name) for part in proxy.parts], proxy.rule)
    return Recorded(proxy, small(space))


@functools.cache
def runs(space, genotype):
    """Whether a genotype parses, and its network runs."""
    network = small(space).space.build_network(genotype, 10).eval()
    return network(small(space).batch.inputs.float()).shape == (4, 10)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("space", [*SPACES, *OWN])
def test_every_proxy_decides(space, name, order):
    part, proxy = small(space), recorded(space, name)
    found = part.discretised(proxy, ORDERS.get(order))
    mixing, supernet, undecided = part.mixing, part.supernet, set(part.choices)
    for decision in found.decisions:
        scores = decision.scores
        if isinstance(decision, Decision):
            choice, kept = decision.choice, decision.candidate
            undecided.remove(choice)
            mixings = [remove(mixing, choice, o) for o in range(len(mixing[choice]))]
            mixing = decide(mixing, choice, kept)
        else:
            node = supernet.nodes[decision.node]
            assert len(set(decision.dropped)) == len(node.choices) - node.keep
            mixings = [drop(mixing, choice) for choice in node.choices]
            for choice in decision.dropped:
                mixing = drop(mixing, choice)
        if order == "sample":
            assert scores is None
            continue
        assert len(scores) == len(mixings)
        if not isinstance(proxy, Combination):  # whose scores depend on what else is compared
            assert scores == pytest.approx([proxy.recorded(one) for one in mixings], rel=1e-12, nan_ok=True)
        usable = [score for score in scores if score < math.inf]
        if isinstance(decision, Decision):
            assert scores[kept] == min(usable)
            assert min(usable) not in scores[:kept]
        else:
            lost = sorted(usable, reverse=True)[: len(decision.dropped)]
            assert [scores[node.choices.index(choice)] for choice in decision.dropped] == lost
    assert not undecided
    assert found.mixing == mixing
    assert runs(space, part.space.genotype(found.mixing))


# kernels count operations of weight 0 in a way of their own, see the spaces' tests
NETWORKS = [n for n in PROXIES if not isinstance(PROXIES.get(n), KernelProxy | Combination)]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("space", [*SPACES, *OWN])
def test_a_mixing_scores_as_a_network(space, name):
    """What a proxy makes of several mixings at once is what it makes of each as a network."""
    proxy = SMALLER.get(name, PROXIES.get(name))
    mixing, supernet, batch = small(space).mixing, small(space).supernet, small(space).batch
    mixings = [remove(mixing, choice, 0) for choice in (0, 1)]
    fix_noise(supernet, batch.seed)
    expected = [proxy.score(Masked(supernet, one), batch) for one in mixings]
    assert proxy.score_mixings(supernet, mixings, batch) == pytest.approx(expected, rel=1e-12, nan_ok=True)


ALONE = [name for name in PROXIES if len(PROXIES.get(name).parts) == 1]
SHARED = [
    [ALONE[number] for number in numbers]
    for numbers in in_passes([PROXIES.get(name) for name in ALONE])
    if len(numbers) > 1
]


def same_bits(found, expected):
    """Whether scores are the same, NaN included."""
    return np.array_equal(np.array(found), np.array(expected), equal_nan=True)


@pytest.mark.parametrize("names", SHARED, ids="-".join)
@pytest.mark.parametrize("space", [*SPACES, *OWN])
def test_proxies_that_share_a_pass_score_as_each_alone(space, names):
    mixing, supernet, batch = small(space).mixing, small(space).supernet, small(space).batch
    mixings = [remove(mixing, choice, 0) for choice in (0, 1)]
    fix_noise(supernet, batch.seed)
    for some in (names, names[:2], names[1:], names[::-1]):
        proxies = [PROXIES.get(name) for name in some]
        alone = [proxy.score_mixings(supernet, mixings, batch) for proxy in proxies]
        assert same_bits(mixings_scores(proxies, supernet, mixings, batch), alone)
        network = Masked(supernet, mixing)
        alone = [network_score(proxy, network, batch) for proxy in proxies]
        assert same_bits(network_scores(proxies, network, batch), alone)


def test_some_proxies_share_a_pass():
    assert ["aznas_expressivity", "aznas_progressivity", "aznas_trainability"] in SHARED
