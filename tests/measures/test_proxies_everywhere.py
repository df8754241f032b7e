"""Every proxy decides in every space under every order, on supernets that are as small as can be."""

import dataclasses
import functools
import math

import pytest
import torch
from torch import nn

import nasbench201.space  # noqa: F401 (registers the space)
import sota.cnn.space  # noqa: F401 (registers the spaces)
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES, Proxy
from foresight_ext.measures.combination import Combination, signed
from foresight_ext.measures.jacob import KernelProxy
from foresight_ext.measures.linear_regions import LinearRegions
from foresight_ext.measures.zen import Zen
from foresight_ext.randomness import RandomStreams, fix_noise
from foresight_ext.search.orders import ORDERS, Decision
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.space import SPACES
from foresight_ext.supernets.supernet import Masked, decide, drop, remove

_DARTS = {"search_channels": 2, "search_layers": 3}
SETTINGS = {"nas-bench-201": {"init_channels": 2, "cells": 1}}
# the same proxies with less work
SMALLER = {"zen": Zen(repeats=1), "linear_regions": LinearRegions(images=20)}


class OneBatch:
    """Stands in for a data set: all minibatches are the same four images, in double precision."""

    classes = 4

    def __init__(self):
        draw = torch.Generator().manual_seed(0)
        inputs = torch.randn(4, 3, 8, 8, generator=draw, dtype=torch.float64)
        self.batch = Batch(inputs, torch.arange(4), 5)

    def render(self, number, device):
        return self.batch


class SmallSearch(PoolSearch):
    """Two edges and a node of each group are undecided; the other edges keep what costs least.

    Where there are nodes, edges that end elsewhere are dropped.
    """

    def __init__(self, space):
        super().__init__(space, OneBatch(), None, None, 0, 4, torch.device("cpu"))
        self.supernet.double()
        self._choices = [group[:2] for group in self._choices]
        self._nodes = [group[:1] for group in self._nodes]
        ending = {c for group in self._nodes for node in group for c in self.supernet.nodes[node].choices}
        self._kept = {}  # by edges that are decided already; None: dropped
        for index, choice in enumerate(self.supernet.choices):
            if not any(index in group for group in self._choices):
                names = choice.candidates
                keep = names.index("skip_connect") if "skip_connect" in names else len(names) - 1
                self._kept[index] = keep if index in ending or not ending else None
        self._shed()

    def _shed(self):
        """Put nothing in place of operations that are never run: most of the time goes by looking at them."""
        for cell in self.supernet.modules():
            if hasattr(cell, "edges"):
                first = len(cell.edges) if getattr(cell, "reduction", False) else 0
                for edge, operations in enumerate(cell.edges):
                    for index in range(len(operations)):
                        if self._kept.get(first + edge, index) != index:
                            operations[index] = nn.Identity()

    def _batches(self):
        yield from range(100)

    def member(self, proxy, order):
        """A first pool member's draws, genotype and decisions."""
        self.proxy, self.order = proxy, order
        self._streams, self._drawn = RandomStreams(0), 0
        draws = self.draw()
        mixing = draws.mixing
        for choice, candidate in self._kept.items():
            mixing = drop(mixing, choice) if candidate is None else decide(mixing, choice, candidate)
        draws = dataclasses.replace(draws, mixing=mixing)
        return draws, *self.discretise(draws)


class Recorded(Proxy):
    """A proxy that scores each mixing once, whatever the order and whatever else is scored with it."""

    def __init__(self, proxy, search):
        self.proxy = proxy
        self.higher_is_better = proxy.higher_is_better
        self.source = proxy.source
        self.search = search
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
        return signed(self.proxy, self.scores[self.search.supernet.effective(mixing)])


@functools.cache
def search_of(space):
    return SmallSearch(SPACES.get(space)(**SETTINGS.get(space, _DARTS)))


@functools.cache
def recorded(space, name):
    proxy = SMALLER.get(name, PROXIES.get(name))
    if isinstance(proxy, Combination):
        return Combination({part: recorded(space, part) for part in proxy.named}, proxy.rule)
    return Recorded(proxy, search_of(space))


@functools.cache
def runs(space, genotype):
    """Whether a genotype parses, and its network runs."""
    search = search_of(space)
    network = search.space.build_network(genotype, 10).eval()
    return network(search.data.batch.inputs.float()).shape == (4, 10)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("space", SPACES)
def test_every_proxy_decides(space, name, order):
    search, proxy = search_of(space), recorded(space, name)
    draws, genotype, decisions = search.member(proxy, ORDERS.get(order))
    mixing, supernet = draws.mixing, search.supernet
    undecided = {choice for group in search._choices for choice in group}
    for decision in decisions:
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
    assert runs(space, genotype)


# kernels count operations of weight 0 in a way of their own, see the spaces' tests
NETWORKS = [n for n in PROXIES if not isinstance(PROXIES.get(n), KernelProxy | Combination)]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("space", SPACES)
def test_a_mixing_scores_as_a_network(space, name):
    """What a proxy makes of several mixings at once is what it makes of each as a network."""
    search, proxy = search_of(space), SMALLER.get(name, PROXIES.get(name))
    mixing = search.member(recorded(space, name), ORDERS.get("sample"))[0].mixing
    supernet, batch = search.supernet, search.data.batch
    mixings = [remove(mixing, choice, 0) for choice in (0, 1)]
    fix_noise(supernet, batch.seed)
    expected = [proxy.score(Masked(supernet, one), batch) for one in mixings]
    assert proxy.score_mixings(supernet, mixings, batch) == pytest.approx(expected, rel=1e-12, nan_ok=True)
