"""The fast form of any network with MixedOps: the kernel of the plain form, at less work."""

import copy
import logging
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from foresight_ext import (
    PROXIES,
    SPACES,
    Batch,
    MixedNode,
    MixedOp,
    Supernet,
    Zero,
    operation_scores,
    supernet_of,
)
from foresight_ext.randomness import seeded
from foresight_ext.supernets import folding
from foresight_ext.supernets.kernel import AgreementKernel, RecordedBlock
from foresight_ext.supernets.supernet import decide, remove
from tests.choices.networks import Plain
from tests.rebuilt import rebuilt_darts, rebuilt_nasbench201


def conv(size=3, channels=4, relu=True, **settings):
    parts = [nn.ReLU()] if relu else []
    return nn.Sequential(*parts, nn.Conv2d(channels, channels, size, padding=size // 2, **settings))


class Block(RecordedBlock):
    """A block that is recorded, with batch norm, the ReLU being in place where it may be."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.relu = (
            nn.Conv2d(4, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.relu(self.bn(self.conv(x))) + x


class DataDependent(nn.Module):
    """Ordinary Python that can't be traced."""

    def forward(self, x):
        return F.relu(x) if float(x.sum()) > 0 else torch.relu(-x)


class Functional(nn.Module):
    """ReLUs that are functions, operations in place, views, unpacked shapes, ReLU6."""

    def __init__(self):
        super().__init__()
        self.op = MixedOp(
            {"a": conv, "b": lambda: conv(5), "one": lambda: conv(1), "skip": nn.Identity, "none": Zero}
        )
        self.last = nn.Linear(4 * 64, 3)
        self.scale = nn.Parameter(torch.randn(4, 1, 1))

    def forward(self, x):
        x = self.op(F.relu(x * self.scale))
        y = x.relu() + F.relu6(x)
        y += x
        batch, channels, height, width = y.shape
        return self.last(torch.relu(y).view(batch, channels * height * width))


class Cells(nn.Module):
    """Two cells of one decision each and a node of three edges, the second time with other weights."""

    def __init__(self):
        super().__init__()
        self.nodes = nn.ModuleList(
            MixedNode(
                [
                    MixedOp({"conv": conv, "pool": pool, "block": Block, "none": Zero}, choice=f"edge{edge}")
                    for edge in range(3)
                ],
                keep=2,
            )
            for _ in range(2)
        )
        self.act = nn.ReLU6()

    def forward(self, x):
        first = self.nodes[0]([x, x, self.act(x)])
        second = self.nodes[1]([x, first, first])
        return self.act(second + first).mean((2, 3))


class Nested(nn.Module):
    """A choice within a candidate, a candidate that is a choice, and one that can't be traced."""

    def __init__(self):
        super().__init__()
        inner = nn.Sequential(
            conv(), MixedOp({"a": conv, "b": lambda: nn.Conv2d(4, 4, 3, padding=2, dilation=2)}), nn.ReLU()
        )
        self.outer = MixedOp({"deep": inner, "either": MixedOp([conv, Block]), "odd": DataDependent})
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.outer(x)).mean((2, 3))


class Attention(nn.Module):
    """PyTorch's own layer of several parts, whose ReLU is a function."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.op = MixedOp(
            {"layer": layer, "wide": lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU()), "skip": nn.Identity}
        )
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(F.relu(self.op(x.flatten(1, 2))).mean(1))


class SeesZeros(nn.Module):
    """Candidates of weight 0 run on zeros."""

    def __init__(self):
        super().__init__()
        self.op = MixedOp({"a": conv, "block": Block, "none": Zero}, removed_see_zeros=True)

    def forward(self, x):
        return self.op(x).relu().mean((2, 3))


class InPlace(nn.Module):
    """A ReLU changes what is read again."""

    def __init__(self):
        super().__init__()
        self.op, self.act = MixedOp({"a": conv, "b": lambda: conv(1, relu=False)}), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.op(x)
        z = self.act(y)
        return (y + 2 * z).mean((2, 3))


class Branching(nn.Module):
    """Ordinary Python around a MixedOp that can't be traced."""

    def __init__(self):
        super().__init__()
        self.op = MixedOp({"a": conv, "skip": nn.Identity})

    def forward(self, x):
        x = self.op(x)
        return (F.relu(x) if float(x.sum()) > 0 else x.relu()).mean((2, 3))


def pool():
    return nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.BatchNorm2d(4))


def bare_pool():
    return nn.Sequential(
        MixedOp([nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.MaxPool2d(3, 1, 1)]), nn.ReLU()
    )


NETWORKS = {
    one.__name__: one
    for one in (Functional, Cells, Nested, Attention, SeesZeros, InPlace, Branching, bare_pool)
}


def mixings_of(supernet):
    """The start, every removal, and every removal when half is decided."""
    with seeded(3):
        start = supernet.new_mixing()
    half = start
    for number in range(0, len(start), 2):
        half = decide(half, number, number % len(start[number]))
    every = [start, half]
    for mixing in (start, half):
        every += [remove(mixing, c, o) for c, row in enumerate(mixing) for o in range(len(row))]
    return list(dict.fromkeys(map(supernet.effective, every)))


def randomised(network):
    """With statistics and affine weights that a batch norm's start does not have."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network


@pytest.mark.parametrize("count_blocks", [True, False])
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_the_kernels_are_those_of_the_plain_form(make, count_blocks):
    """In float64 no sign depends on the order of sums: all entries are equal."""
    with seeded(0):
        supernet = supernet_of(randomised(make())).double()
        x = torch.randn(5, 4, 8, 8).double()
    kept, mixings = x.clone(), mixings_of(supernet)

    def kernel(x):
        return AgreementKernel(x, count_blocks)

    fast = supernet.kernels(x, mixings, kernel)
    plain = Supernet.kernels(supernet, x, mixings, kernel)
    for number, (found, expected) in enumerate(zip(fast, plain)):
        assert torch.equal(found.matrix(), expected.matrix()), mixings[number]
    assert any(float(one.matrix()[0, 0]) for one in fast)
    assert torch.equal(x, kept) and supernet.training


@pytest.mark.parametrize("name", ["InPlace", "Branching"])
def test_a_network_without_a_graph_is_told_once(name, caplog):
    supernet = supernet_of(NETWORKS[name]())
    batch = Batch(torch.randn(4, 4, 8, 8), torch.zeros(4), 0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            PROXIES.get("nwot").score_mixings(supernet, [supernet.new_mixing()], batch)
    assert [record.message for record in caplog.records if "plain form" in record.message] == [
        record.message for record in caplog.records
    ]
    assert len(caplog.records) == 1


def test_candidates_run_once_where_mixings_part_and_not_at_weight_0():
    runs = []

    class Counted(nn.Conv2d):
        """It depends on its data, so that it is run as it is."""

        def forward(self, x):
            if float(x.sum()) < 1e9:
                runs.append(self.number)
            return super().forward(x)

    def counted(number):
        layer = Counted(4, 4, 1)
        layer.number = number
        return layer

    network = nn.Sequential(
        nn.Conv2d(4, 4, 1),
        MixedOp({str(number): counted(number) for number in range(4)}),
        nn.ReLU(),
        nn.Flatten(),
    )
    supernet = supernet_of(network, softmax=False)
    mixing = decide(supernet.new_mixing(), 0, 0)
    every = [remove(supernet.new_mixing(), 0, candidate) for candidate in range(4)]
    x = torch.randn(4, 4, 8, 8)
    supernet.kernels(x, [mixing], lambda x: AgreementKernel(x, False))
    assert runs == [0]
    runs.clear()
    supernet.kernels(x, every, lambda x: AgreementKernel(x, False))
    assert sorted(runs) == [0, 1, 2, 3]


def test_functional_relus_of_a_candidate_are_looked_for_in_the_whole_supernet():
    """The first mixing has none; the network has."""

    class Fires(nn.Conv2d):
        def forward(self, x):
            return F.relu(super().forward(x))

    network = nn.Sequential(MixedOp({"conv": Fires(4, 4, 3, padding=1), "skip": nn.Identity()}), nn.Flatten())
    supernet = supernet_of(network)
    batch = Batch(torch.randn(4, 4, 8, 8), torch.zeros(4), 0)
    found = operation_scores(PROXIES.get("nwot"), supernet, supernet.new_mixing(), [0], batch)
    assert found[0][0] == -math.inf and math.isfinite(found[0][1])


def test_copies_and_new_weights_have_kernels_of_their_own():
    supernet = supernet_of(Functional())
    x, mixing = torch.randn(4, 4, 8, 8), supernet.new_mixing()

    def matrix(one):
        return one.kernels(x, [mixing], lambda x: AgreementKernel(x, False))[0].matrix()

    before, twin = matrix(supernet), copy.deepcopy(supernet)
    with torch.no_grad():
        for weight in supernet.parameters():
            weight.normal_()
    assert not torch.equal(matrix(supernet), before)
    assert torch.equal(matrix(twin), before)


@pytest.mark.parametrize("name", ["nas-bench-201", "s1", "s3", "s5"])
def test_spaces_rebuilt_of_mixed_operations_score_the_same(name):
    """With the real spaces' weights, from the first decision to the last."""
    with seeded(0):
        supernet, mixing = SPACES.get(name)().smallest().begin(10)
        batch = Batch(torch.randn(8, 3, 32, 32), torch.zeros(8), 0)
    if name == "nas-bench-201":
        rebuilt, order = rebuilt_nasbench201(supernet), range(len(mixing))
    else:
        rebuilt = rebuilt_darts(supernet)
        names = [choice.name.replace(" ", "_") for choice in supernet.choices]
        order = [names.index(choice.name) for choice in rebuilt.choices]
    assert sorted(order) == list(range(len(mixing)))
    proxy = PROXIES.get("jacob")
    for number in range(0, len(mixing), 3):
        own = [remove(mixing, number, candidate) for candidate in range(len(mixing[number]))]
        theirs = [rebuilt.effective(tuple(one[choice] for choice in order)) for one in own]
        expected = proxy.score_mixings(supernet, [supernet.effective(one) for one in own], batch)
        assert proxy.score_mixings(rebuilt, theirs, batch) == pytest.approx(expected, rel=1e-6)
        mixing = decide(mixing, number, number % len(mixing[number]))


def test_each_convolution_is_folded_once_a_pass(monkeypatch):
    supernet, batch, folded = supernet_of(Plain()).eval(), Batch(torch.randn(4, 3, 8, 8), None), []
    fuse = folding.fuse_conv_bn_weights
    monkeypatch.setattr(
        folding, "fuse_conv_bn_weights", lambda weight, *rest: folded.append(weight) or fuse(weight, *rest)
    )
    for _ in range(2):  # the first looks at the graph as well
        folded.clear()
        operation_scores(PROXIES.get("jacob"), supernet, supernet.new_mixing(), [0, 1], batch)
    norms = [module for module in supernet.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(folded) == len({id(weight) for weight in folded}) == len(norms) > 0
