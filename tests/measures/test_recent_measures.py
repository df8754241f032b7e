"""Recent proxies: values of their authors' code, answers worked out by hand, and what only they do."""

import math
import re

import pytest
import torch
from torch import nn

from foresight_ext import PROXIES, find_measures
from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch
from foresight_ext.measures.combination import Combination
from foresight_ext.measures.near import Near, near
from foresight_ext.measures.stages import stem_and_cells
from foresight_ext.measures.swap_reg import SwapReg
from foresight_ext.measures.vkdnw_entropy import VKDNWEntropy, _factor
from foresight_ext.supernets.supernet import Masked
from nasbench201.network import NASBench201Network
from nasbench201.operations import ResidualBlock
from nasbench201.space import NASBench201Space
from sota.cnn.genotypes import ARCHITECTURES
from sota.cnn.network import NetworkCIFAR, NetworkImageNet
from tests.conftest import golden
from tests.networks import assert_same, images, minibatch, plain_network, snapshot, used, value

GOLDEN = "recent_measures.json"


def built(case):
    """The network of a golden case, before anything is drawn for it."""
    torch.manual_seed(case["seed"])
    found = re.fullmatch(
        r"NAS-Bench-201 network, C=(\d+), N=(\d+), (\d+) classes, arch (.*)", case["network"]
    )
    if found:
        channels, cells, classes = map(int, found.groups()[:3])
        network = NASBench201Network(found[4], channels, cells, classes)
    else:
        network = eval(case["network"], dict(vars(nn)))
    return network.train(case["mode"] == "train")


def given_images(case, number=0):
    """A golden case's minibatch of images, the first or a later one."""
    *shape, seed = map(
        int, re.search(r"randn\((\d+),(\d+),(\d+),(\d+), .*manual_seed\((\d+)", case["inputs"]).groups()
    )
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + 100 * number))


def to_be_drawn(case):
    """A minibatch whose seed draws what the authors' code draws; its images are not looked at."""
    return Batch(
        torch.zeros(case["batch"], 3, case["resolution"], case["resolution"]), None, case["draws_seed"]
    )


# ---- golden values


@pytest.mark.parametrize("index", range(10))
def test_official_aznas(index):
    case = golden(GOLDEN)["aznas"][index]
    for name, expected in case["measures"].items():
        found = PROXIES.get(f"aznas_{name.split('_')[0]}").score(built(case), to_be_drawn(case))
        assert found == pytest.approx(float(expected), rel=1e-4), name


def test_official_combination_of_aznas():
    case = golden(GOLDEN)["aznas_aggregation"]
    columns = [list(map(float, case["table"][part.name.removeprefix("aznas_")])) for part in aznas().parts]
    assert aznas().combine(columns) == pytest.approx(case["score"], rel=1e-12)


@pytest.mark.parametrize("index", range(14))
def test_official_vkdnw(index):
    case = golden(GOLDEN)["vkdnw"][index]
    network, batch = built(case), to_be_drawn(case)
    official, mended = (
        VKDNWEntropy(case["p"], case["params_grad_len"], fisher_information=mended)
        for mended in (False, True)
    )
    expected = case["measures"]["vkdnw_entropy"]
    assert official.score(network, batch) == pytest.approx(expected, rel=1e-3)
    single, entropy = (PROXIES.get(f"vkdnw_{name}").score(network, batch) for name in ("single", "entropy"))
    assert single == case["measures"]["vkdnw_dim"] + entropy
    network, batch = network.double(), batch._replace(inputs=batch.inputs.double())
    expected = case["float64"]["vkdnw_entropy"]
    assert official.score(network, batch) == pytest.approx(expected, rel=1e-6)
    expected = case["transposed_variant_float64"]["vkdnw_entropy_smoothed"]
    assert mended.score(network, batch) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("index", range(6))
def test_official_gradsign(index):
    case = golden(GOLDEN)["gradsign"][index]
    x = given_images(case)
    network, batch = built(case), Batch(x, torch.arange(len(x)) % 10)
    expected = case["measures"]["gradsign"]
    assert value("gradsign", network, batch) == pytest.approx(expected, rel=1e-4)
    layers = [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    weights = sum(layer.weight.numel() for layer in layers)
    assert value("gradsign_sum", network, batch) == pytest.approx(weights * expected, rel=1e-4)


@pytest.mark.parametrize("index", range(10))
def test_official_epsinas(index):
    case = golden(GOLDEN)["epsinas"][index]
    found = PROXIES.get("epsinas").score(built(case), Batch(given_images(case), None))
    if "measures" in case:
        assert found == pytest.approx(case["float64"]["epsinas"], rel=1e-6)
        assert found == pytest.approx(case["measures"]["epsinas"], rel=1e-4)
    else:
        assert 0 <= found < case["measures_below"]["epsinas"]


@pytest.mark.parametrize("index", range(12))
def test_official_near(index, monkeypatch):
    # windows are drawn in the order in which modules run, and the shortcut runs last in the official block
    monkeypatch.setattr(
        ResidualBlock, "forward", lambda self, x: self.conv_b(self.conv_a(x)) + self.shortcut(x)
    )
    case = golden(GOLDEN)["near"][index]
    batches = [given_images(case, number) for number in range(case["batches"])]
    seeds = case["draws_seed"]
    found = near(built(case), batches, case["repetitions"], seeds["torch"], seeds["numpy"])
    assert found == pytest.approx(case["measures"]["near"], rel=1e-4)


@pytest.mark.parametrize("index", range(4))
def test_official_meco_opt(index):
    case = golden(GOLDEN)["meco_opt"][index]
    batch = Batch(given_images(case), None, case["draws_seed"]["random"])
    found = PROXIES.get("meco_opt").score(built(case), batch)
    assert found == pytest.approx(case["measures"]["meco_opt"], rel=1e-4)


@pytest.mark.parametrize("index", range(4))
def test_official_swap_reg(index):
    case = golden(GOLDEN)["swap_reg"][index]
    redrawn = case["after_gaussian_initialisation"]
    network, batch = built(case), Batch(given_images(case), None, redrawn["draws_seed"])
    found = SwapReg(case["mu"], case["sigma"]).score(network, batch)
    assert found == pytest.approx(case["measures"]["swap_reg"], rel=1e-12)
    found = SwapReg(case["mu"], case["sigma"], repeats=2).score(network, batch)
    assert found == pytest.approx(redrawn["swap_reg"], rel=1e-12)


# ---- answers worked out by hand


def aznas():
    return PROXIES.get("aznas")


def part(name, network, batch):
    return PROXIES.get(f"aznas_{name}").score(network, batch)


class Scaled(nn.Module):
    """A stage that multiplies its input."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def grey(seed=0):
    """Four images of one channel."""
    return Batch(torch.zeros(4, 1, 8, 8), None, seed)


def test_trainability_by_hand():
    # of one channel g g is 1, so that s is the factor that gradients come back with
    by_hand = lambda s: 2 - s - 1 / (s + 1e-6)  # noqa: E731
    cases = {
        nn.Identity(): -math.inf,
        Scaled(0.5): by_hand(0.5),
        Scaled(-3): by_hand(3),
        Scaled(0): -999998,
        # each of four neighbours gets a quarter: the singular value of four quarters
        nn.AvgPool2d(2): by_hand(0.5),
    }
    for stage, expected in cases.items():
        found = part("trainability", nn.Sequential(Scaled(1), stage, nn.Flatten()), grey())
        assert found == pytest.approx(expected, rel=1e-6)
    both = nn.Sequential(Scaled(1), Scaled(0.5), Scaled(4), nn.Flatten())
    assert part("trainability", both, grey()) == pytest.approx((by_hand(0.5) + by_hand(4)) / 2, rel=1e-6)


class Repeated(nn.Module):
    """Two channels out of one: the same, or of another image."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def forward(self, x):
        return torch.cat((x, x.roll(1, 0) if self.other else x), dim=1)


def test_expressivity_and_progressivity_by_hand():
    # one channel has all of the variance; a second one that is its double adds nothing, one that is
    # independent of it and as large adds log 2
    batch = grey()._replace(inputs=torch.zeros(64, 1, 32, 32))
    for other, entropy in ((False, 0), (True, math.log(2))):
        network = nn.Sequential(Scaled(1), Repeated(other), nn.Flatten())
        for name in ("expressivity", "progressivity"):
            assert part(name, network, batch) == pytest.approx(entropy, abs=1e-4)
    falling = nn.Sequential(Repeated(True), Scaled(torch.tensor([1.0, 0]).view(2, 1, 1)), nn.Flatten())
    assert part("progressivity", falling, batch) == pytest.approx(-math.log(2), abs=1e-4)
    dead = nn.Sequential(Repeated(True), Scaled(0), Scaled(2), nn.Flatten())
    assert part("expressivity", dead, batch) == part("progressivity", dead, batch) == -math.inf


def test_features_of_more_channels_than_numbers_have_an_entropy():
    # the authors' float32 gives eigenvalues below 0, and NaN
    network = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.ReLU(), nn.Flatten())
    assert all(math.isfinite(part("expressivity", network, minibatch(seed, 4, 4))) for seed in range(4))


def test_complexity_by_hand():
    # 216 on 256 positions, 1152 and a bias of 16 on 64, 160 and a bias of 10
    expected = (216 * 256 + 1152 * 64 + 160 + 16 * 64 + 10) / 1e6
    assert part("complexity", plain_network(), minibatch(0, 2)) == pytest.approx(expected, rel=1e-12)


def test_aznas_and_vkdnw_are_their_parts_by_the_logarithms_of_ranks():
    assert (aznas().rule, PROXIES.get("vkdnw").rule) == ("log_rank", "log_rank")
    assert [one.name for one in aznas().parts] == [
        "aznas_expressivity",
        "aznas_progressivity",
        "aznas_trainability",
        "aznas_complexity",
    ]
    assert PROXIES.get("vkdnw").parts == (*aznas().parts, PROXIES.get("vkdnw_entropy"))
    # of three networks: places 1 2 3 and 3 1.5 1.5
    found = Combination(aznas().parts[:2], "log_rank").combine([[5, 6, 7], [9, 4, 4]])
    assert found == pytest.approx([math.log(1 / 3), math.log(2 / 3 * 1.5 / 3), math.log(1.5 / 3)])


def test_vkdnw_by_hand():
    # one weight, so one eigenvalue: nine deciles that are equal
    network, batch = nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False)), minibatch(0, 4, 1)
    entropy = PROXIES.get("vkdnw_entropy").score(network, batch)
    assert entropy == pytest.approx(math.log(9), rel=1e-6)
    assert PROXIES.get("vkdnw_single").score(network, batch) == 1 + entropy


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_vkdnws_factor(classes):
    """L L^T is diag(p) - p p^T, up to what float16 has taken from the smoothing."""
    outputs = torch.randn(classes, generator=torch.Generator().manual_seed(classes), dtype=torch.float64) * 4
    p = 0.95 * outputs.softmax(0) + 0.05 / classes
    factor = _factor(outputs)
    torch.testing.assert_close(factor @ factor.T, p.diag() - torch.outer(p, p), atol=3e-4, rtol=0)
    assert torch.equal(factor.tril(), factor)


def flat(*rows):
    """Images of one row each."""
    return torch.tensor(rows)[:, None, None, :]


def linear(weight):
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    layer.weight.data = torch.tensor(weight)
    return nn.Sequential(nn.Flatten(), layer)


def test_gradsign_by_hand():
    # gradients (p - onehot) x: signs -- ++ of the first image and -+ +- of the second
    batch = Batch(flat([1.0, 2.0], [1.0, -2.0]), torch.tensor([0, 0]))
    network = linear([[1.0, 1.0], [3.0, 0.0]])
    assert value("gradsign", network, batch) == 4 / 4
    network.idle = nn.Identity()
    network.idle.weights = nn.Linear(2, 2)  # off the path
    assert value("gradsign", network, batch) == 4 / 8
    assert value("gradsign_sum", network, batch) == 4
    # another class takes the opposite signs: -- ++ and +- -+
    assert value("gradsign", network, batch._replace(targets=torch.tensor([0, 1]))) == 4 / 8


@pytest.mark.parametrize("name", ["gradsign", "meco_opt"])
def test_one_image_passes_batch_norms_on_one_pixel(name):
    """These normalise a single number a channel, which PyTorch refuses in training mode."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 16), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 10))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(images(0, 1))
    found = value(name, network, minibatch(0, 4))
    # what is normalised is 0, whatever the convolution, and so are the last layer's gradients; but for
    # rounding errors, whose signs count
    assert found == pytest.approx(0, abs=0.05)


def test_gradsign_by_find_measures_takes_a_loss_of_ones_own():
    network, batch = linear([[1.0, 1.0]]), [(flat([1.0, 2.0], [3.0, -2.0]), torch.tensor([[0.0], [9.0]]))]
    found = find_measures(network, batch, ("random", 1, 1), "cpu", nn.MSELoss(), measure_names=["gradsign"])
    # outputs 3 and 1, errors 3 and -8: signs ++ and -+
    assert found == {"gradsign": 2 / 2}


class Branched(nn.Module):
    """w x1 + w w x2, an output of one weight and of two."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = (nn.Conv1d(1, 1, 1, bias=False) for _ in range(3))

    def forward(self, x):
        first, second = (x[:, 0, :, place : place + 1] for place in (0, 1))
        return (self.one(first) + self.three(self.two(second))).flatten(1)


def test_epsinas_by_hand():
    # 0, 1, 2 scaled are 0, 1/2, 1, and 0 + 0, 1 + 1, 2 + 0 scaled 0, 1, 1; the minima are left out
    batch = Batch(flat([0.0, 0.0], [1.0, 1.0], [2.0, 0.0]), None)
    assert PROXIES.get("epsinas").score(Branched(), batch) == pytest.approx(0.25 / 0.875, rel=1e-6)
    alike = Batch(flat([1.0, 1.0], [1.0, 1.0]), None)
    assert math.isnan(PROXIES.get("epsinas").score(Branched(), alike))


def test_epsinas_of_a_deep_network_does_not_vanish():
    """Its eight cells of weights 1e-7 leave nothing in float32."""
    torch.manual_seed(0)
    network = NetworkCIFAR(ARCHITECTURES.get("init_pt_s5_C10_0_100_N10"), 4, 8, 10, auxiliary=False)
    assert 0.1 < PROXIES.get("epsinas").score(network, minibatch(0, 8, 32)) < 2


def test_near_by_hand():
    # two images whose outputs are orthogonal and as large: rank 2, before the ReLU and behind it
    network = nn.Sequential(*linear([[3.0, 0], [0, 3]]), nn.ReLU())
    score = PROXIES.get("near").score
    assert score(network, Batch(flat([1.0, 0.0], [0.0, 1.0]), None)) == pytest.approx(4)
    # behind the ReLU nothing is left; zeros have no rank
    assert score(network, Batch(flat([-1.0, 0.0], [0.0, -1.0]), None)) == pytest.approx(2)
    # singular values 3 and 1: shares 3/4 and 1/4
    rank = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert score(network, Batch(flat([1.0, 0.0], [0.0, 1 / 3]), None)) == pytest.approx(2 * rank)


def test_near_draws_weights_for_repetitions_and_puts_them_back():
    torch.manual_seed(0)
    network, generator = used(plain_network()), torch.get_rng_state()
    before = snapshot(network)
    once, twice = (Near(repetitions=n).score(network, minibatch(0, 4)) for n in (1, 2))
    assert once != twice
    assert twice == Near(repetitions=2).score(network, minibatch(0, 4))
    assert_same(before, snapshot(network))
    assert torch.equal(generator, torch.get_rng_state())


def test_near_says_which_outputs_it_takes():
    network = nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 3), nn.Flatten())
    with pytest.raises(UserError, match="near takes outputs of B x C or B x C x H x W: those of a Conv1d"):
        PROXIES.get("near").score(network, minibatch(0, 4))
    with pytest.raises(UserError, match="near looks at activations and modules with a weight: none has run"):
        PROXIES.get("near").score(nn.Flatten(), minibatch(0, 4))


def test_meco_opt_by_hand():
    # two channels of the image, of correlation r: 1 - |r| for the convolution, and once more for the
    # container and the identity; one number a channel has no correlation
    conv = nn.Conv2d(3, 2, 1, bias=False)
    conv.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 2]])[:, :, None, None]
    batch = minibatch(3, 4)
    r = float(torch.corrcoef(batch.inputs[0, ::2].flatten(1))[0, 1])
    network = nn.Sequential(nn.Sequential(conv), nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert PROXIES.get("meco_opt").score(network, batch) == pytest.approx(3 * (1 - abs(r)), rel=1e-5)
    assert PROXIES.get("meco_opt").score(nn.Flatten(), batch) == 0


def test_swap_reg_by_hand():
    # patterns of two images over four pixels of one channel: 10, 01, 11 and 10 again
    x = torch.tensor([[1.0, -1, 1, 2], [-1, 2, 3, -4]]).view(2, 1, 2, 2)
    network = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(4, 5), nn.ReLU())
    nn.init.zeros_(network[2].weight)  # a fourth pattern, of no map
    nn.init.constant_(network[2].bias, -1)
    batch = Batch(x, None)
    assert PROXIES.get("swap").score(network, batch) == 4
    assert SwapReg(mu=0.025, sigma=1).score(network, batch) == 3  # 25 parameters
    assert SwapReg(mu=2.025, sigma=4).score(network, batch) == pytest.approx(3 / math.e)
    network.add_module("auxiliary_head", nn.Linear(5, 1000))
    assert SwapReg(mu=0.025, sigma=1).score(network, batch) == 3


# ---- features


def test_stem_and_cells():
    supernet = NASBench201Space(init_channels=2, cells=1).build_supernet(10)
    masked = Masked(supernet, ((0.2,) * 5,) * 6)
    assert stem_and_cells(masked) == [supernet.skeleton.stem, *supernet.skeleton.cells]
    network = plain_network()
    assert stem_and_cells(network) == list(network)
    assert stem_and_cells(nn.Sequential(nn.DataParallel(network))) == list(network)
    listed = nn.Module()
    listed.layers, listed.head = nn.ModuleList([nn.ReLU(), nn.ModuleList([nn.Tanh()])]), nn.Linear(2, 2)
    assert stem_and_cells(listed) == [listed.layers[0], listed.layers[1][0], listed.head]
    blocks = [nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()), nn.Identity()]
    assert stem_and_cells(nn.Sequential(nn.Sequential(*blocks), nn.Flatten()))[:2] == blocks


@pytest.mark.parametrize("make, size", [(NetworkCIFAR, 16), (NetworkImageNet, 64)])
def test_stems_of_two_outputs_have_one_feature(make, size):
    """DARTS cells take two inputs: features are those of the stem, its newer output, and of three cells."""
    torch.manual_seed(0)
    network = make(ARCHITECTURES.get("init_pt_s2_C10_0"), 4, 3, 10, auxiliary=False)
    assert -math.inf < part("trainability", network, minibatch(0, 4, size)) < 0
    assert part("expressivity", network, minibatch(0, 4, size)) > 0


@pytest.mark.parametrize(
    "network, told",
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), "aznas compares feature maps .*: there is 1 and"),
        (nn.Sequential(nn.Flatten(), nn.Linear(768, 4)), "aznas compares feature maps .*: there is none and"),
    ],
    ids=["one", "none"],
)
@pytest.mark.parametrize("name", ["expressivity", "progressivity", "trainability"])
def test_aznas_needs_feature_maps(name, network, told):
    with pytest.raises(UserError, match=told):
        part(name, network, minibatch(0, 4))


def test_trainability_needs_sizes_that_divide():
    network = nn.Sequential(Scaled(1), nn.Conv2d(3, 4, 3), nn.Flatten())
    with pytest.raises(UserError, match="sizes are parts of the ones before: 16 x 16 and 14 x 14 are not"):
        part("trainability", network, minibatch(0, 4))
    # what halves an odd size passes
    network[1] = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    assert part("trainability", network, minibatch(0, 4, 7)) < 0
