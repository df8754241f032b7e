"""Zero-cost proxies: golden values, answers worked out by hand, networks left as they were, find_measures."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from foresight_ext.errors import UserError
from foresight_ext.images.augmentation import Augmentation
from foresight_ext.images.batches import Batch
from foresight_ext.images.datasets import ImageData
from foresight_ext.images.large_images import MEAN, STD, LargeImages
from foresight_ext.images.tiny_images import tiny_images
from foresight_ext.measures import PROXIES
from foresight_ext.measures.epe_nas import class_score
from foresight_ext.measures.layers import LayerProxy
from foresight_ext.measures.linear_regions import LinearRegions
from foresight_ext.measures.patterns import distinct, pack
from foresight_ext.measures.predictive import DEFAULT_MEASURES
from foresight_ext.measures.zen import Zen
from foresight_ext.supernets.supernet import Masked, remove
from nasbench201.network import NASBench201Network
from nasbench201.space import NASBench201Space
from sota.cnn.genotypes import ARCHITECTURES
from sota.cnn.network import NetworkCIFAR
from sota.cnn.space import DartsSpace
from tests.conftest import golden
from tests.networks import assert_same, images, minibatch, plain_network, snapshot, used, value

# those that give one network a score
SCORING = [name for name in PROXIES if len(PROXIES.get(name).parts) == 1]
LAYERS = [name for name in SCORING if isinstance(PROXIES.get(name), LayerProxy)]


def built(case):
    """The network of a golden case."""
    torch.manual_seed(case["seed"])
    if case["network"].startswith("NAS-Bench-201 network, C=8, N=1, arch "):
        network = NASBench201Network(case["network"].partition(" arch ")[2], 8, 1, 10)
    else:
        network = plain_network()
        assert case["network"].startswith("Sequential(Conv2d(3,8,3,padding=1,bias=False), BatchNorm2d(8)")
    return network.train(case["mode"] == "train")


# ---- golden values


@pytest.mark.parametrize("index", range(4))
def test_official_measures(index):
    case = golden("foresight_measures.json")[index]
    network = built(case)
    size = int(case["input"].split("(16,3,")[1].split(",")[0])
    seed = int(case["input"].split("manual_seed(")[1].split(")")[0])
    batch = minibatch(seed, 16, size)
    assert set(case["measures"]) == set(DEFAULT_MEASURES)
    for name, expected in case["measures"].items():
        precision = 1e-3 if name == "jacob_cov" else 1e-4
        assert value(name, network, batch) == pytest.approx(expected, rel=precision), name
        if name.startswith("synflow"):
            assert PROXIES.get(name).score(network, batch) == pytest.approx(math.log(expected), rel=1e-6)


@pytest.mark.parametrize("index", range(2))
def test_official_zico_and_swap(index):
    case = golden("newer_measures.json")["zico_and_swap"][index]
    network = built(case)
    first, second = (minibatch(700 + case["seed"] + i, 16) for i in (0, 1))
    both = Batch(torch.cat([first.inputs, second.inputs]), torch.cat([first.targets, second.targets]))
    assert PROXIES.get("swap").score(network, first) == case["measures_on_first_batch"]["swap"]
    # a weight whose two gradients are nearly equal divides by their rounding. So the official value is held
    # against exact arithmetic, which is the same on every processor, and float32 by what its noise allows:
    # the second network's score moves by 1.4e-4 from one processor to another, and by 2.4e-3 without oneDNN
    # (the first's by 4.8e-5)
    found = PROXIES.get("zico").score(network, both)
    exact = PROXIES.get("zico").score(network.double(), both._replace(inputs=both.inputs.double()))
    assert exact == pytest.approx(case["measures"]["zico"], rel=1e-4)
    assert found == pytest.approx(exact, rel=(1e-4, 5e-3)[index])


# ---- answers worked out by hand


def linear(weight):
    """One linear layer on flattened images, without bias."""
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    layer.weight.data = torch.tensor(weight)
    return nn.Sequential(nn.Flatten(), layer)


def flat(*rows):
    """Images of one row each."""
    return torch.tensor(rows)[:, None, None, :]


def test_gradient_proxies_by_hand():
    # cross entropy of two equal logits: dL/dw = ((p - onehot) x) = [[-0.5, -1], [0.5, 1]]
    network = linear([[1.0, 1.0], [3.0, 0.0]])
    batch = Batch(flat([1.0, 2.0]), torch.tensor([0]))
    assert value("grad_norm", network, batch) == pytest.approx(math.sqrt(2 * 0.25 + 2 * 1))
    assert value("snip", network, batch) == pytest.approx(0.5 + 1 + 1.5)
    assert value("plain", network, batch) == pytest.approx(-0.5 - 1 + 1.5)
    # outputs 3 and 3, their gradients -0.5 and 0.5: each channel 0.5 * 1.5^2, for two weights each
    assert value("fisher", network, batch) == pytest.approx(4 * 0.5 * 2.25)
    # d2L/dlogits2 = 0.25 [[1, -1], [-1, 1]]; logits move by g x = (-2.5, 2.5) along g, their gradients by
    # 0.25 (-5, 5), so H g = [[-1.25, -2.5], [1.25, 2.5]], and -w Hg = 1.25 + 2.5 - 3.75
    products = PROXIES.get("grasp").arrays(network, batch)[0]
    assert products.flatten().tolist() == pytest.approx([1.25, 2.5, -3.75, 0])
    assert value("l2_norm", network, batch) == pytest.approx(math.sqrt(11))


def test_synflow_by_hand():
    # with |w|: outputs (1 + 2) + (3 + 0) for ones; the gradient of the sum is 1 for every weight
    network = linear([[1.0, -2.0], [-3.0, 0.0]])
    batch = Batch(flat([5.0, 7.0]), None)
    for name in ("synflow", "synflow_bn"):
        assert value(name, network, batch) == 6
        assert PROXIES.get(name).score(network, batch) == pytest.approx(math.log(6))
    assert PROXIES.get("synflow").score(linear([[0.0]]), Batch(flat([1.0]), None)) == -math.inf


def test_synflow_without_batch_norms_takes_maps_of_one_pixel():
    network = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.BatchNorm2d(2), nn.Flatten()).train()
    network[0].weight.data.fill_(-0.5)
    assert value("synflow", network, Batch(images(0, 4, 1), None)) == pytest.approx(6 * 0.5)


def test_jacob_cov_by_hand():
    # all images have the gradient (1, 2, 4): correlations 1, eigenvalues 0 and 2
    network = linear([[1.0, 2.0, 4.0]])
    expected = -(math.log(2 + 1e-5) + 1 / (2 + 1e-5)) - (math.log(1e-5) + 1e5)
    batch = Batch(flat([1.0, 0.0, 3.0], [2.0, 5.0, 1.0]), None)
    assert PROXIES.get("jacob_cov").score(network, batch) == pytest.approx(expected, rel=1e-6)
    assert math.isnan(PROXIES.get("jacob_cov").score(linear([[1.0, 1.0, 1.0]]), batch))

    class Deaf(nn.Module):
        """Its output does not depend on the image."""

        def forward(self, x):
            return torch.ones_like(x)

    assert math.isnan(PROXIES.get("jacob_cov").score(Deaf(), batch))


def test_epe_nas_by_hand():
    # the first class's gradients have the correlation 0, the second's are alike, the third has one image
    rows = torch.tensor([[1.0, 0, -1], [1, 0, -1], [1, -2, 1], [2, 0, -2], [1, 2, 3]])
    labels = torch.tensor([4, 7, 4, 7, 1])
    one, none = math.log(1 + 1e-5), math.log(1e-5)
    first, second = 2 * one + 2 * none, 4 * one
    assert class_score(rows, labels, many=False) == pytest.approx(abs(first) + second + one, rel=1e-6)
    # of many classes the sums by their images are compared, both ways round, and one image says nothing
    assert class_score(rows, labels, many=True) == pytest.approx(abs(first / 2 - second / 2), rel=1e-6)
    assert math.isnan(class_score(rows[:1], labels[:1], many=True))
    # all images of a linear layer have its weights as gradient; 101 outputs are many
    batch = Batch(flat([1.0, 0.0, 3.0], [2.0, 5.0, 1.0]), torch.tensor([3, 3]))
    weights = [[1.0, 2.0, 4.0]]
    assert PROXIES.get("epe_nas").score(linear(weights), batch) == pytest.approx(4 * one, rel=1e-6)
    assert PROXIES.get("epe_nas").score(linear(weights * 101), batch) == 0  # one class alone
    assert math.isnan(PROXIES.get("epe_nas").score(linear([[1.0, 1.0, 1.0]]), batch))


def test_ntk_by_hand():
    # the gradient of w x is x: X X^T = diag(1, 4)
    network, ntk = linear([[3.0, 5.0]]), PROXIES.get("ntk")
    assert ntk.score(network, Batch(flat([1.0, 0.0], [0.0, 2.0]), None)) == pytest.approx(4, rel=1e-12)
    # two outputs: each weight row has the gradient x
    two = linear([[3.0, 5.0], [1.0, 1.0]])
    assert ntk.score(two, Batch(flat([1.0, 0.0], [0.0, 3.0]), None)) == pytest.approx(9, rel=1e-12)
    # equal images, and images that are no numbers
    assert ntk.score(network, Batch(flat([1.0, 2.0], [1.0, 2.0]), None)) == 1e5
    assert ntk.score(network, Batch(flat([1.0, 2.0], [math.nan, 2.0]), None)) == 1e5
    assert not ntk.higher_is_better


def test_zico_by_hand():
    # gradients of the halves: (-0.5, 0.5) and (-1.5, 1.5), so mean |g| is 1 and the deviation 0.5, twice
    network, targets = linear([[0.0], [0.0]]), torch.tensor([0, 0])
    zico = PROXIES.get("zico")
    assert zico.score(network, Batch(flat([1.0], [3.0]), targets)) == pytest.approx(math.log(4))
    assert zico.score(network, Batch(flat([1.0], [1.0]), targets)) == 0  # no deviation: no layer counts
    with pytest.raises(UserError, match="two images"):
        zico.score(network, Batch(flat([1.0]), targets[:1]))


def test_swap_by_hand():
    # neurons' patterns over three images: 100, 011, 110, 001, and 100 once more
    x = torch.tensor([[1.0, -1, 2, 0, 9], [-1, 3, 1, -2, -1], [-1, 0.5, -1, 7, -1]])
    assert PROXIES.get("swap").score(nn.Sequential(nn.ReLU()), Batch(x, None)) == 4
    assert PROXIES.get("swap").score(nn.Sequential(nn.Tanh()), Batch(x, None)) == 0
    # only numbers above 2 reach the second ReLU: 000, 010, 000, 001, 100, of which two are new
    network = nn.Sequential(nn.ReLU(), nn.Threshold(2, -1), nn.ReLU6())
    assert PROXIES.get("swap").score(network, Batch(x, None)) == 6


@pytest.mark.parametrize("count", [1, 8, 63, 64, 65, 200])
def test_patterns_are_counted_exactly(count):
    torch.manual_seed(count)
    bits = torch.rand(count, 40) < 0.5
    bits = bits[:, torch.randint(40, (300,))]
    expected = len(set(map(tuple, bits.T.tolist())))
    assert distinct([pack(bits[:, :100]), pack(bits[:, 100:])]).shape[1] == expected
    # columns that differ in one bit only, the first or the last
    same = torch.ones(count, 3, dtype=torch.bool)
    same[0, 0] = same[-1, 1] = False
    assert distinct([pack(same)]).shape[1] == (3 if count > 1 else 2)


def test_meco_by_hand():
    # two channels of the image, of correlation r, are passed on: eigenvalues 1 - |r| and 1 + |r|
    conv = nn.Conv2d(3, 2, 1, bias=False)
    conv.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 2]])[:, :, None, None]
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(11))
    r = np.corrcoef(image[0, 0].flatten(), image[0, 2].flatten())[0, 1]
    # containers and identities give the same tensor again; one number a channel has no correlation
    network = nn.Sequential(nn.Sequential(conv), nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    batch = Batch(images(0, 4), None, 11)
    assert PROXIES.get("meco").score(network, batch) == pytest.approx(1 - abs(r), rel=1e-6)


def repeats(*shapes, seed, count):
    """What zen draws."""
    draw = torch.Generator().manual_seed(seed)
    return [[torch.randn(shape, generator=draw) for shape in shapes] for _ in range(count)]


def test_zen_by_hand():
    # a linear network: f(x) - f(x + 0.01 x2) = -0.01 W x2, whatever x and the network's own weights
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    expected = []
    for weight, _, _, x2 in repeats((4, 3, 1, 1), (2, 4), (5, 3, 8, 8), (5, 3, 8, 8), seed=6, count=32):
        expected.append(math.log(0.01 * F.conv2d(x2, weight).abs().sum() / 5))
    batch = Batch(images(0, 5, 8), None, 6)
    assert PROXIES.get("zen").score(network, batch) == pytest.approx(sum(expected) / 32, rel=1e-4)
    with pytest.raises(UserError, match="AdaptiveAvgPool2d"):
        PROXIES.get("zen").score(linear([[1.0]]), Batch(flat([1.0]), None))


def test_zen_adds_up_running_variances_from_repeat_to_repeat():
    def network(momentum, variance):
        norm = nn.BatchNorm2d(3, momentum=momentum)
        nn.init.constant_(norm.running_var, variance)
        nn.init.constant_(norm.weight, 7)  # to be 1
        return nn.Sequential(norm, nn.AdaptiveAvgPool2d(1))

    batch = Batch(images(0, 5, 8), None, 6)
    norm, expected = nn.BatchNorm2d(3, momentum=0.5).requires_grad_(False), []
    nn.init.constant_(norm.running_var, 4)
    for x, x2 in repeats((5, 3, 8, 8), (5, 3, 8, 8), seed=6, count=3):
        change = (norm(x) - norm(x + 0.01 * x2)).abs().sum() / 5
        expected.append(math.log(change) + math.log(math.sqrt(norm.running_var.mean())))
    assert Zen(repeats=3).score(network(0.5, 4), batch) == pytest.approx(sum(expected) / 3, rel=1e-4)
    still, doubled = (Zen(repeats=3).score(network(0.0, variance), batch) for variance in (1, 4))
    assert doubled - still == pytest.approx(math.log(2), rel=1e-5)


def test_linear_regions_by_hand():
    # Images that are positive everywhere, and 0 beyond their border: a crop's pattern tells which of its
    # rows and columns lie inside. Of 3 rows all, the last 1 or 2, or the first 1 or 2 do: 5 x 5 patterns, and
    # one without any.
    network, regions = nn.Sequential(nn.ReLU(), nn.Flatten()), PROXIES.get("linear_regions")
    assert regions.score(network, Batch(images(0, 2, 8).abs(), None, 3)) == 26
    assert regions.score(network, Batch(-images(0, 2, 8).abs(), None, 3)) == 1
    assert regions.score(nn.Flatten(), Batch(images(0, 2, 8), None, 3)) == 1


def split_of(count, pixel):
    """Images of 8x8 whose three channels are pixel, pixel + 1 and pixel + 2 in bytes."""
    data = torch.tensor([pixel, pixel + 1, pixel + 2], dtype=torch.uint8).view(1, 3, 1, 1)
    return ImageData(
        "toy",
        1,
        torch.zeros(count, dtype=torch.long),
        lambda indices: data.expand(len(indices), -1, 8, 8),
        (0.5,) * 3,
        (0.25,) * 3,
        Augmentation(8),
    )


def test_tiny_images_come_from_the_training_set():
    split = split_of(70, 200)
    batch = split.unaugmented(torch.arange(4), torch.device("cpu"))
    assert batch.images is split
    crops = tiny_images(batch, 150, 3)
    assert crops.shape == (150, 3, 3, 3)
    assert torch.equal(crops[:, 0], crops[:, 1])
    assert torch.equal(crops[:, 0], crops[:, 2])
    values = {round((byte / 255 - 0.5) / 0.25, 4) for byte in (0, 200, 201, 202)}
    assert {round(number, 4) for number in crops.flatten().tolist()} == values
    channels = {round(number, 4) for number in crops.amax((1, 2, 3)).tolist()}
    assert channels == values  # single channels; some crops lie outside
    assert torch.equal(crops, tiny_images(batch, 150, 3))
    assert not torch.equal(crops, tiny_images(batch._replace(seed=batch.seed + 1), 150, 3))


def test_tiny_images_of_photographs():
    white = Image.new("RGB", (40, 32), (255, 255, 255))
    cpu = torch.device("cpu")
    photographs = LargeImages(20, 1, lambda index: (white, 0), workers=0, size=16)
    batches = [photographs.unaugmented(torch.tensor(indices), cpu) for indices in ([3, 4], [5, 6])]
    assert batches[0].seed != batches[1].seed
    crops = tiny_images(batches[0], 50, 4)
    # white in one of three channels, or black, normalised
    values = {round((white - mean) / std, 3) for white in (0, 1) for mean, std in zip(MEAN, STD)}
    assert {round(number, 3) for number in crops.flatten().tolist()} == values


def test_linear_regions_of_a_darts_supernet():
    supernet = DartsSpace("s2", 2, 3).build_supernet(10)
    masked = Masked(supernet, tuple((0.5, 0.5) for _ in supernet.choices))
    assert 1 < LinearRegions(images=40).score(masked, minibatch(0, 4, 8)) <= 40


def test_zen_of_a_network_with_a_parameter_of_its_own():
    class Scaled(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            for module in self:
                x = module(x)
            return x * self.scale

    assert math.isfinite(Zen(repeats=2).score(Scaled(), minibatch(0, 4)))


def test_params_and_flops_by_hand():
    # convolutions 8 x 27 and 16 x 72 + 16, batch norms 16 and 32, classifier 160 + 10
    assert value("params", plain_network(), minibatch(0, 2)) == 216 + 16 + 1152 + 16 + 32 + 170
    # on 16 x 16 and 8 x 8 positions
    assert value("flops", plain_network(), minibatch(0, 2)) == 216 * 256 + 1152 * 64 + 160


def test_what_does_not_run_is_no_part_of_a_supernet():
    supernet = NASBench201Space(init_channels=4, cells=1).build_supernet(10)
    mixing = tuple((0.2,) * 5 for _ in supernet.choices)
    whole, without = Masked(supernet, mixing), Masked(supernet, remove(mixing, 0, 3))
    batch = minibatch(0, 4)
    # the 3x3 convolutions of edge 0 in three cells, of 4, 8 and 16 channels; batch norms are not affine
    weights = [9 * channels**2 for channels in (4, 8, 16)]
    assert value("params", whole, batch) == sum(p.numel() for p in supernet.parameters())
    assert value("params", whole, batch) - value("params", without, batch) == sum(weights)
    positions = [weight * side**2 for weight, side in zip(weights, (16, 8, 4))]
    assert value("flops", whole, batch) - value("flops", without, batch) == sum(positions)
    for name in ("l2_norm", "grad_norm", "snip", "fisher", "synflow"):
        proxy = PROXIES.get(name)
        pairs = [(float(array.sum()) for array in proxy.arrays(n, batch)) for n in (whole, without)]
        gone = [index for index, (before, after) in enumerate(zip(*pairs)) if before and not after]
        assert len(gone) == 3, name


# ---- what all proxies keep to


@pytest.fixture(scope="module")
def three():
    """A plain network, one with two outputs in training mode, and a supernet under a mixing."""
    torch.manual_seed(0)
    supernet = NASBench201Space(init_channels=2, cells=1).build_supernet(10)
    auxiliary = NetworkCIFAR(ARCHITECTURES.get("init_pt_s2_C10_0"), 2, 3, 10, auxiliary=False)
    return [used(n) for n in (plain_network(), auxiliary, Masked(supernet, ((0.1, 0, 0.2, 0.3, 0.4),) * 6))]


@pytest.mark.parametrize("name", SCORING)
def test_networks_come_back_as_they_were(name, three, monkeypatch):
    proxy = PROXIES.get(name)
    monkeypatch.setattr(PROXIES.get("zen"), "repeats", 2)
    monkeypatch.setattr(PROXIES.get("linear_regions"), "images", 30)
    generator = torch.get_rng_state()
    for network in three:
        before = snapshot(network)
        with torch.no_grad():
            score = proxy.score(network, minibatch(1, 4))
        assert isinstance(score, float)
        assert score == proxy.score(network, minibatch(1, 4))
        assert_same(before, snapshot(network))
    assert torch.equal(generator, torch.get_rng_state())


class Failing(nn.Module):
    """Fails when all of its network has run."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        self.network(x)
        raise ValueError("that was too much")


@pytest.mark.parametrize("name", SCORING)
def test_networks_that_fail_come_back_as_they_were(name, three):
    network = Failing(three[0])
    before = snapshot(network)
    with pytest.raises(ValueError, match="too much"):
        PROXIES.get(name).score(network, minibatch(1, 4))
    assert_same(before, snapshot(network))


@pytest.mark.parametrize("name", SCORING)
def test_what_proxies_say_they_need(name):
    proxy, network, seen = PROXIES.get(name), plain_network(), []
    network.register_forward_pre_hook(
        lambda module, inputs: seen.append((torch.is_grad_enabled(), inputs[0].dtype))
    )
    batch = minibatch(1, 4)._replace(targets=torch.tensor([0, 0, 1, 2]))  # a proxy may compare within a class
    score = proxy.score(network, batch)
    # what takes part is asked without gradients
    assert any(grad for grad, _ in seen) == proxy.needs_gradients
    assert proxy.needs_double or {dtype for _, dtype in seen} == {torch.float32}
    if proxy.needs_labels:
        assert proxy.score(network, batch._replace(targets=batch.targets.flip(0))) != score
    else:
        assert proxy.score(network, batch._replace(targets=None)) == score


def test_every_proxy_names_its_source():
    assert all(isinstance(PROXIES.get(name).source, str) and PROXIES.get(name).source for name in PROXIES)


@pytest.mark.parametrize("name", LAYERS)
def test_parts_of_a_minibatch_add_up_to_the_whole(name):
    torch.manual_seed(2)
    # fisher puts batch norms into training mode, where images meet
    network = plain_network(batch_norms=name != "fisher").eval()
    batch, proxy = minibatch(3, 10), PROXIES.get(name)
    whole = proxy.arrays(network, batch)
    assert len(whole) == 3
    for pieces in (2, 3, 5):
        for array, expected in zip(proxy.arrays(network, batch, pieces=pieces), whole):
            assert torch.allclose(array, expected, rtol=1e-3, atol=1e-6)
