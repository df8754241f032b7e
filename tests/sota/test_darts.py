"""The DARTS spaces: golden values of the official code, the fast form against the plain one, genotypes."""

import json
import random

import pytest
import torch
from torch import nn

from foresight_ext.images import datasets
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.randomness import fix_noise
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.scoring import edge_scores, operation_scores, scores
from foresight_ext.supernets.supernet import decide, drop
from sota.cnn.candidates import CANDIDATES, EDGES
from sota.cnn.genotypes import ARCHITECTURES
from sota.cnn.network import NetworkCIFAR, NetworkImageNet
from sota.cnn.notation import Genotype
from sota.cnn.operations import FactorizedReduce
from sota.cnn.space import DartsImageNetSpace, DartsSpace
from tests.conftest import golden, shared_file
from tests.oracle import hooked_score, straightforward_mixing_scores

CPU = torch.device("cpu")
COUNTS_BLOCKS = {"jacob": True, "nwot": False}
CASES = ["s2", "s5", "s1", "s3"]


def images(seed, batch, size=32):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def seed_in(text):
    """The first number behind `manual_seed(`."""
    digits = text.partition("manual_seed(")[2]
    return int("".join(c for c in digits[:4] if c.isdigit()))


class GivenBatches:
    """Stands in for a data set: step i's minibatch is `images(first + i)`."""

    classes = 10

    def __init__(self, first, batch):
        self.first = first
        self.batch = batch

    def render(self, number, device):
        return Batch(images(self.first + number, self.batch), torch.zeros(self.batch))


class GivenSearch(PoolSearch):
    """A search on numbered minibatches."""

    def _batches(self):
        yield from range(100)


@pytest.mark.parametrize("index", range(4), ids=CASES)
def test_official_scores_and_discretisation(index):
    case = golden("darts_scores.json")[index]
    space, batch = DartsSpace(case["space"]), case["batch"]
    data = GivenBatches(seed_in(case["discretization"]["batches"]), batch)
    order, jacob = ORDERS.get(case["order"]), PROXIES.get("jacob")
    search = GivenSearch(space, data, jacob, order, case["seed"], batch, CPU)
    weights = [parameter.detach().double() for parameter in search.supernet.parameters()]
    assert sum(w.abs().sum() for w in weights).item() == pytest.approx(case["param_sum"], rel=1e-12)
    draws = search.draw()
    alphas = torch.tensor([case["alphas_normal_row0"], case["alphas_reduce_row13"]])
    expected = torch.softmax(alphas, dim=1)
    assert torch.equal(torch.tensor([draws.mixing[0], draws.mixing[-1]]), expected)
    x = Batch(images(seed_in(case["score_input"]), batch), torch.zeros(batch))
    rows = {
        int(edge) + (len(EDGES) if cell == "reduce" else 0): expected
        for (cell, edge), expected in ((name.split("/"), row) for name, row in case["undecided"].items())
    }
    for choice, found in operation_scores(jacob, search.supernet, draws.mixing, [*rows], x).items():
        assert found == pytest.approx(rows[choice], rel=1e-4)
    genotype = json.loads(search.discretise(draws)[0])
    assert genotype["normal"] == case["discretization"]["normal"]
    assert genotype["reduce"] == case["discretization"]["reduce"]


def test_official_pool(class_folder_cifar10):
    """The whole official search stage on real images, S5: two members, the same two genotypes."""
    expected = [network["genotype"] for network in golden("darts_s5_pool_seed0.json")["networks"]]
    data = datasets.load("folder", datasets.Request(class_folder_cifar10))
    search = PoolSearch(DartsSpace("s5"), data, PROXIES.get("jacob"), ORDERS.get("random"), 0, 16, CPU)
    pool = []
    for _ in expected:
        pool.append(search.discretise(search.draw(pool[-1] if pool else None))[0])
    assert pool == expected


def random_mixing(supernet, draw):
    """Undecided, partly removed, one-hot and dropped rows."""
    mixing = tuple(tuple(draw.random() for _ in choice.candidates) for choice in supernet.choices)
    for index, choice in enumerate(supernet.choices):
        kind = draw.randrange(4)
        if kind == 1:
            mixing = decide(mixing, index, draw.randrange(len(choice.candidates)))
        if kind == 2:
            row = tuple(draw.choice((0.0, weight)) for weight in mixing[index])
            mixing = mixing[:index] + (row,) + mixing[index + 1 :]
        if kind == 3:
            mixing = drop(mixing, index)
    return mixing


@pytest.mark.parametrize("proxy", COUNTS_BLOCKS)
@pytest.mark.parametrize("name", CANDIDATES)
def test_fast_supernet_equals_straightforward(name, proxy):
    """S4's noise included: its stream is its own, and every candidate sees the same.

    In double precision: in a network this small a single sign that rounding flips would show.
    """
    draw = random.Random(f"{name}{proxy}")
    torch.manual_seed(draw.randrange(1000))
    supernet = DartsSpace(name, search_channels=draw.choice((2, 4)), search_layers=5).build_supernet(10)
    supernet = supernet.double()
    x = Batch(images(draw.randrange(1000), draw.randint(4, 12), 16).double(), None, draw.randrange(1000))
    fast = PROXIES.get(proxy)
    for _ in range(2):
        mixing = random_mixing(supernet, draw)
        node = supernet.nodes[draw.randrange(6)]
        choice = draw.choice(node.choices)
        mixings = [decide(mixing, choice, o) for o in range(len(mixing[choice]))]
        mixings += [drop(mixing, one) for one in node.choices]
        fix_noise(supernet, x.seed)
        expected = straightforward_mixing_scores(supernet, mixings, x.inputs, COUNTS_BLOCKS[proxy])
        assert scores(fast, supernet, mixings, x) == pytest.approx(expected, rel=1e-12)


def test_noise_is_new_for_every_minibatch_and_shared_by_candidates():
    torch.manual_seed(0)
    supernet = DartsSpace("s4", 2, 3).build_supernet(10)
    mixing = tuple((0.5, 0.5) for _ in supernet.choices)
    x = images(0, 6, 16)
    jacob = PROXIES.get("jacob")
    one, again, other = (
        edge_scores(jacob, supernet, mixing, [3, 4], Batch(x, None, seed=seed)) for seed in (1, 1, 2)
    )
    assert one == again != other


@pytest.mark.parametrize("proxy", COUNTS_BLOCKS)
@pytest.mark.parametrize("name", ["init_pt_s5_C10_0_100_N10", "init_pt_s4_C10_0", "sample_2500_1"])
def test_fast_network_equals_straightforward(name, proxy):
    torch.manual_seed(1)
    network = NetworkCIFAR(ARCHITECTURES.get(name), 4, 5, 10, auxiliary=False).double()
    batch = Batch(images(3, 9, 16).double(), None)
    fix_noise(network, 5)
    expected = hooked_score(network, batch.inputs, count_blocks=COUNTS_BLOCKS[proxy])
    assert PROXIES.get(proxy).score(network, batch) == pytest.approx(expected, rel=1e-12)


def test_images_of_odd_size():
    """A factorised reduction of 3x3 pixels by hand, and the fast form on images whose sides become odd."""
    reduction = FactorizedReduce(1, 2, affine=False).eval()
    for conv in (reduction.conv_1, reduction.conv_2):
        nn.init.ones_(conv.weight)
    halved = reduction(torch.arange(1.0, 10.0).view(1, 1, 3, 3)) * (1 + reduction.bn.eps) ** 0.5
    assert halved.flatten().tolist() == pytest.approx([1, 3, 7, 9, 5, 0, 0, 0])
    torch.manual_seed(4)
    supernet = DartsSpace("s5", 2, 4).build_supernet(10).double()
    x = Batch(images(4, 5, 14)[:, :, :, :11].double(), None)
    mixing = random_mixing(supernet, random.Random(1))
    expected = straightforward_mixing_scores(supernet, [mixing], x.inputs)
    assert scores(PROXIES.get("jacob"), supernet, [mixing], x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("proxy", COUNTS_BLOCKS)
def test_fast_imagenet_forms_equal_straightforward(proxy):
    """The stem's own ReLUs record as well, its two outputs differ, and channels may be odd."""
    draw = random.Random(proxy)
    torch.manual_seed(2)
    space = DartsImageNetSpace("s2", search_channels=3, search_layers=4)
    supernet = space.build_supernet(10).double()
    x = Batch(images(4, 5, 64).double(), None)
    mixings = [random_mixing(supernet, draw) for _ in range(3)]
    expected = straightforward_mixing_scores(supernet, mixings, x.inputs, COUNTS_BLOCKS[proxy])
    assert scores(PROXIES.get(proxy), supernet, mixings, x) == pytest.approx(expected, rel=1e-12)
    network = space.build_network(space.genotype(mixings[0]), 10).double()
    expected = hooked_score(network, x.inputs, count_blocks=COUNTS_BLOCKS[proxy])
    assert PROXIES.get(proxy).score(network, x) == pytest.approx(expected, rel=1e-12)


def test_imagenet_is_searched_on_all_images_with_its_own_stem():
    assert DartsSpace("s2").search_images(9) == 4
    assert DartsImageNetSpace("s2").search_images(9) == 9
    torch.manual_seed(0)
    supernet = DartsImageNetSpace("s5", 4, 3).build_supernet(10)
    older, newer = supernet.stem(images(0, 2, 64))
    assert (older.shape, newer.shape) == ((2, 12, 16, 16), (2, 12, 8, 8))  # width 3C
    network = NetworkImageNet(ARCHITECTURES.get("sample_2500_1"), 4, 5, 10, auxiliary=False)
    assert network.stem(images(0, 2, 64))[0].shape == (2, 4, 16, 16)  # width C


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_reported_architecture_runs_in_both_networks(name):
    genotype = ARCHITECTURES.get(name)
    with torch.no_grad():
        network = NetworkCIFAR(genotype, 4, 5, 10, auxiliary=True)
        logits, auxiliary = network(images(0, 2))
        assert logits.shape == auxiliary.shape == (2, 10)
        assert network.eval()(images(0, 2)).shape == (2, 10)
        network = NetworkImageNet(genotype, 4, 5, 11, auxiliary=True)
        logits, auxiliary = network(images(0, 1, 224).repeat(2, 1, 1, 1))
        assert logits.shape == auxiliary.shape == (2, 11)


def genotype_of(space, normal_rows):
    """The normal cell of a mixing given as {edge: operation}; other edges are dropped."""
    mixing = []
    for candidates in CANDIDATES[space]:
        for edge, names in enumerate(candidates):
            mixing.append(tuple(float(normal_rows.get(edge) == name) for name in names))
    return Genotype(**json.loads(DartsSpace(space).genotype(tuple(mixing)))).normal


def test_genotypes_by_hand():
    # node 0 keeps edges 0 and 1, node 1 edges 2 and 4, node 2 edges 6 and 8, node 3 edges 9 and 13
    rows = {0: "sep_conv_3x3", 1: "skip_connect", 2: "dil_conv_5x5", 4: "max_pool_3x3"}
    rows |= {6: "sep_conv_5x5", 8: "avg_pool_3x3", 9: "dil_conv_3x3", 13: "skip_connect"}
    assert genotype_of("s5", rows) == [
        ["sep_conv_3x3", 0],
        ["skip_connect", 1],
        ["dil_conv_5x5", 0],
        ["max_pool_3x3", 2],
        ["sep_conv_5x5", 1],
        ["avg_pool_3x3", 3],
        ["dil_conv_3x3", 0],
        ["skip_connect", 4],
    ]
    # none won on edge 0: its edge weighs nothing, sorts behind, and reads as the first other operation
    rows = {0: "none", 1: "sep_conv_3x3", 2: "sep_conv_3x3", 3: "sep_conv_3x3", 5: "sep_conv_3x3"}
    rows |= {6: "skip_connect", 9: "skip_connect", 10: "sep_conv_3x3"}
    assert genotype_of("s3", rows)[:2] == [["sep_conv_3x3", 1], ["skip_connect", 0]]


def test_members_are_drawn_in_order():
    data = datasets.load("digits", datasets.Request())
    space = DartsSpace("s2", 2, 3)
    search = PoolSearch(space, data, PROXIES.get("jacob"), ORDERS.get("random"), 0, 8, CPU)
    genotype, decisions = search.discretise(search.draw())
    assert len(decisions) == 28 + 6
    with pytest.raises(ValueError, match="genotype of the one before"):
        search.draw()
    assert search.draw(genotype).mixing == search.mixing  # alphas are not drawn anew


def test_s1_candidates_are_those_reported():
    facts = json.loads(shared_file("facts/s1_primitives.json").read_text())
    assert [list(map(list, cell)) for cell in CANDIDATES["s1"]] == [facts["normal"], facts["reduce"]]
