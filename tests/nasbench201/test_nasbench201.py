"""NAS-Bench-201: golden values of the official code, and the fast form against the straightforward one."""

import itertools
import json
import random
from pathlib import Path

import pytest
import torch

from foresight_ext.errors import UserError
from foresight_ext.images import datasets
from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.search.orders import ORDERS
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.scoring import operation_scores
from foresight_ext.search.validation import best_genotype, draw_validation, summed, validation_scores
from foresight_ext.supernets.supernet import decide, softmax_mixing
from nasbench201.genotype import EDGE_NAMES, OPERATIONS, format_genotype, parse_genotype
from nasbench201.network import NASBench201Network
from nasbench201.space import NASBench201Space
from nasbench201.supernet import NASBench201Supernet
from tests.conftest import golden
from tests.oracle import hooked_score, straightforward_scores, straightforward_supernet

OWN = json.loads((Path(__file__).parent / "golden_nasbench201.json").read_text())
COUNTS_BLOCKS = {"jacob": True, "nwot": False}
CPU = torch.device("cpu")


def images(seed, batch):
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def scores(supernet, mixing, choices, x, proxy="jacob"):
    return operation_scores(PROXIES.get(proxy), supernet, mixing, choices, Batch(x, torch.zeros(len(x))))


def seeded_supernet(seed):
    torch.manual_seed(seed)
    supernet = NASBench201Supernet(16, 5, 10)
    return supernet, 1e-3 * torch.randn(6, 5)


# ---- golden values ----


@pytest.mark.parametrize("index", [0, 1])
def test_official_supernet_scores(index):
    case = golden("nasbench201_scores.json")["supernet"][index]
    supernet, alphas = seeded_supernet(case["seed"])
    assert torch.equal(alphas, torch.tensor(case["alphas"]))
    weights = [parameter.double() for parameter in supernet.parameters()]
    assert sum(weight.abs().sum() for weight in weights).item() == pytest.approx(case["param_sum"], rel=1e-12)
    x, mixing = images(1000 + case["seed"], case["batch"]), softmax_mixing(alphas)
    found = scores(supernet, mixing, range(6), x)
    for edge, expected in case["undecided"].items():
        assert found[EDGE_NAMES.index(edge)] == pytest.approx(expected, rel=1e-4)
    for edge, operation in case["decided"].items():
        mixing = decide(mixing, EDGE_NAMES.index(edge), OPERATIONS.index(operation))
    for edge, expected in case["after_decisions"].items():
        index = EDGE_NAMES.index(edge)
        assert scores(supernet, mixing, [index], x)[index] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_official_network_scores(index):
    case = golden("nasbench201_scores.json")["networks"][index]
    torch.manual_seed(case["seed"])
    network = NASBench201Network(case["arch"], 16, 5, 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == case["parameters"]
    batch = Batch(images(2000 + case["seed"], case["batch"]), torch.zeros(case["batch"]))
    assert PROXIES.get("jacob").score(network, batch) == pytest.approx(case["score"], rel=1e-4)


def test_official_pool(class_folder_cifar10):
    """The whole official search stage on real images: ten discretisations, the same ten genotypes."""
    expected = [network["genotype"] for network in golden("nasbench201_pool_seed0.json")["networks"]]
    data = datasets.load("folder", datasets.Request(class_folder_cifar10))
    space = NASBench201Space()
    search = PoolSearch(space, data, PROXIES.get("jacob"), ORDERS.get("random"), 0, 64, CPU)
    assert [search.discretise(search.draw())[0] for _ in expected] == expected


def test_official_validation(class_folder_cifar10):
    pool = [network["genotype"] for network in golden("nasbench201_pool_seed0.json")["networks"]]
    data = datasets.load("folder", datasets.Request(class_folder_cifar10))
    totals = {
        one.genotype: summed(validation_scores(one, PROXIES.get("jacob"), data, CPU))[0]
        for one in draw_validation(NASBench201Space(), pool, data, 0, 5, 64)
    }
    assert best_genotype(totals) == golden("nasbench201_validation_seed0.json")["networks"]


@pytest.mark.parametrize("case", OWN["supernets"], ids=lambda case: f"seed{case['seed']}")
def test_own_golden_supernet_scores(case):
    supernet, alphas = seeded_supernet(case["seed"])
    found = scores(supernet, softmax_mixing(alphas), range(6), images(case["images"], case["batch"]))
    for edge, expected in case["scores"].items():
        assert found[EDGE_NAMES.index(edge)] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("case", OWN["networks"], ids=lambda case: f"seed{case['seed']}")
def test_own_golden_network_scores(case):
    torch.manual_seed(case["seed"])
    network = NASBench201Network(case["genotype"], 16, 5, 10)
    batch = Batch(images(case["images"], case["batch"]), torch.zeros(case["batch"]))
    assert PROXIES.get("jacob").score(network, batch) == pytest.approx(case["score"], abs=1e-3)


# ---- the fast form equals the straightforward one ----


def random_mixing(draw):
    """Rows with weights of which any may be 0: undecided, partly removed, one-hot and empty rows."""
    kinds = (
        lambda: tuple(draw.random() for _ in OPERATIONS),
        lambda: tuple(draw.choice((0.0, draw.random())) for _ in OPERATIONS),
        lambda: tuple(float(index == draw.randrange(5)) for index in range(5)),
        lambda: (1.0, 0.0, 0.0, 0.0, 0.0),
        lambda: (0.0,) * 5,
    )
    return tuple(draw.choice(kinds)() for _ in range(6))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("proxy", COUNTS_BLOCKS)
def test_fast_supernet_equals_straightforward(seed, proxy):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    supernet = NASBench201Supernet(draw.randint(1, 9), draw.randint(1, 2), 10)
    size, batch = draw.choice((8, 12, 20, 32)), draw.randint(2, 20)
    x, mixing, choice = torch.randn(batch, 3, size, size), random_mixing(draw), draw.randrange(6)
    expected = straightforward_scores(
        straightforward_supernet(supernet), mixing, choice, x, COUNTS_BLOCKS[proxy]
    )
    assert scores(supernet, mixing, [choice], x, proxy)[choice] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("proxy", COUNTS_BLOCKS)
def test_fast_network_equals_straightforward(seed, proxy):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    genotype = format_genotype([draw.choice(OPERATIONS) for _ in EDGE_NAMES])
    network = NASBench201Network(genotype, draw.randint(2, 9), draw.randint(1, 2), 10)
    for bn in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        # statistics that are not fresh: folding holds for them as well
        torch.nn.init.normal_(bn.running_mean, std=0.1)
        torch.nn.init.uniform_(bn.running_var, 0.5, 2)
        torch.nn.init.uniform_(bn.weight, -1, 2)
        torch.nn.init.normal_(bn.bias, std=0.1)
    x = torch.randn(draw.randint(2, 20), 3, draw.choice((8, 16)), 16)
    score = PROXIES.get(proxy).score(network, Batch(x, torch.zeros(len(x))))
    assert score == pytest.approx(hooked_score(network, x, count_blocks=COUNTS_BLOCKS[proxy]), rel=1e-6)


def test_images_of_four_pixels_shrink_to_one():
    torch.manual_seed(0)
    supernet, x = NASBench201Supernet(4, 1, 10), torch.randn(5, 3, 4, 4)
    mixing = softmax_mixing(torch.randn(6, 5))
    expected = straightforward_scores(straightforward_supernet(supernet), mixing, 3, x)
    assert scores(supernet, mixing, [3], x)[3] == pytest.approx(expected, rel=1e-6)


def test_removing_none_scores_the_same_on_every_edge():
    supernet, alphas = seeded_supernet(0)
    found = scores(supernet, softmax_mixing(alphas), range(6), images(0, 8))
    assert len({row[OPERATIONS.index("none")] for row in found.values()}) == 1


def test_plain_forward_of_a_decided_supernet_is_the_network():
    torch.manual_seed(0)
    supernet = NASBench201Supernet(4, 1, 10).eval()
    operations = ("nor_conv_3x3", "none", "avg_pool_3x3", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
    network = NASBench201Network(format_genotype(operations), 4, 1, 10).eval()
    state = supernet.state_dict()
    for name in network.state_dict():
        parts = name.split(".")
        if "edges" in parts:  # skeleton.cells.C.edges.E.0.conv.weight: operation 0 is the chosen one
            edge = int(parts[parts.index("edges") + 1])
            parts[parts.index("edges") + 2] = str(OPERATIONS.index(operations[edge]))
        source = "".join(f".{part}" for part in parts)[1:]
        if source in state:  # affine weights of batch norms are the network's own: ones and zeros
            network.state_dict()[name].copy_(state[source])
    mixing = tuple(tuple(float(op == name) for name in OPERATIONS) for op in operations)
    x = torch.randn(3, 3, 16, 16)
    assert torch.allclose(supernet(x, mixing), network(x), atol=1e-6)


# ---- genotypes ----


def test_every_genotype_survives_a_round_trip():
    for operations in itertools.product(OPERATIONS, repeat=6):
        assert parse_genotype(format_genotype(operations)) == operations


@pytest.mark.parametrize(
    "text, fault",
    [
        ("", "does not parse"),
        ("|none~0|+|none~0|none~1|", "does not parse"),
        ("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", "does not parse"),
        ("|none~0|+|none~0|nor_conv_7x7~1|+|none~0|none~1|none~2|", "operation 'nor_conv_7x7' on edge 2<-1"),
    ],
)
def test_malformed_genotypes_name_the_fault(text, fault):
    with pytest.raises(UserError, match=fault):
        parse_genotype(text)
