"""Networks that would have got a wrong number without a word, or a traceback: the right one, or a line."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

from foresight_ext import PROXIES, find_measures_arrays
from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch
from foresight_ext.measures.layers import LayerProxy
from tests.measures.scoring import ALONE, measured, score
from tests.networks import images, minibatch, plain_network

# ---- NaN


class Broken(nn.Module):
    """A network whose features become NaN on the way."""

    def __init__(self):
        super().__init__()
        self.network = plain_network()

    def forward(self, x):
        for number, layer in enumerate(self.network):
            x = layer(x)
            if number == 2:
                x = x * math.nan
        return x


# these look at no activation; ntk's definition (TE-NAS) turns NaN into 1e5
WITHOUT_ACTIVATIONS = {"params", "flops", "aznas_complexity", "l2_norm", "ntk"}


@pytest.mark.parametrize("name", [name for name in ALONE if name not in WITHOUT_ACTIVATIONS])
def test_nan_stays_nan(name):
    torch.manual_seed(0)
    assert math.isfinite(score(name, plain_network(), minibatch(1, 8)))
    torch.manual_seed(0)
    assert math.isnan(score(name, Broken(), minibatch(1, 8)))


# ---- losses


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ["snip", "grad_norm", "grasp", "fisher"])
def test_pieces_change_nothing_whatever_the_losss_reduction(name, reduction):
    torch.manual_seed(0)
    network, batch = plain_network(batch_norms=False), minibatch(5, 8)
    proxy, loss = PROXIES.get(name), nn.CrossEntropyLoss(reduction=reduction)
    assert isinstance(proxy, LayerProxy)
    whole = proxy.arrays(network, batch, loss)
    for pieces in (2, 4):
        for array, expected in zip(proxy.arrays(network, batch, loss, pieces), whole):
            torch.testing.assert_close(array, expected, rtol=1e-4, atol=1e-6)


def test_a_loss_that_is_neither_is_told():
    batch = minibatch(5, 8)
    with pytest.raises(UserError, match="loss_fn must be a mean or a sum over the images"):
        PROXIES.get("snip").arrays(
            plain_network(), batch, lambda o, t: F.cross_entropy(o, t) * len(o) ** 2, 2
        )


# ---- tokens


@pytest.mark.parametrize("tokens", [6, 12])
def test_channels_of_linear_layers_on_tokens_come_last(tokens):
    """A linear layer on tokens is a 1x1 convolution on a row of them."""
    torch.manual_seed(0)
    linear, head = nn.Linear(12, 6), nn.Linear(6, 10)

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.head = linear, head

        def forward(self, x):
            return self.head(self.linear(x.flatten(2).transpose(1, 2)).relu().mean(1))

    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(12, 6, 1), head
            self.conv.weight.data, self.conv.bias.data = (
                linear.weight.data[:, :, None, None],
                linear.bias.data,
            )

        def forward(self, x):
            return self.head(self.conv(x).relu().mean((2, 3)))

    batch = Batch(torch.randn(4, 12, 1, tokens), torch.arange(4), 0)
    assert score("fisher", Tokens(), batch) == pytest.approx(score("fisher", Rows(), batch), rel=1e-5)


# ---- nothing to see


@pytest.mark.parametrize("name", ["jacob", "nwot", "swap", "linear_regions"])
def test_networks_without_relus_are_told(name):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.LazyLinear(10))
    network(images(0, 1))
    with pytest.raises(UserError, match=f"{name} looks at what ReLUs read"):
        score(name, network, minibatch(0, 4))


class Functions(nn.Module):
    """A network whose ReLUs are modules, or functions of several names."""

    def __init__(self, modules):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4 if number else 3, 4, 3, padding=1) for number in range(4))
        self.relus = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.ReLU6()] if modules else [])

    def forward(self, x):
        functions = self.relus or (F.relu, torch.relu, torch.Tensor.relu_, F.relu6)
        for conv, relu in zip(self.convs, functions):
            x = relu(conv(x))
        return x.mean((2, 3))


@pytest.mark.parametrize("name", ["jacob", "nwot", "swap", "swap_reg", "linear_regions"])
def test_relus_that_are_functions_count_as_modules_do(name):
    modules, functions = Functions(True), Functions(False)
    functions.load_state_dict(modules.state_dict())
    batch = minibatch(0, 4)
    assert score(name, functions, batch) == score(name, modules, batch)


# ---- buffers


class Signed(nn.Module):
    """A buffer of whole numbers says where each channel's weight is; its sign matters."""

    def __init__(self):
        super().__init__()
        self.register_buffer("places", torch.tensor([-1, -2, -3]))
        self.weight = nn.Linear(3, 2)

    def forward(self, x):
        return self.weight(x.mean((2, 3))[:, self.places])


def test_synflow_leaves_whole_numbers_as_they_are():
    torch.manual_seed(0)
    found = find_measures_arrays(
        Signed(), [(torch.zeros(2, 3, 8, 8), torch.zeros(2))], ("random", 1, 2), "cpu", ["synflow"]
    )
    [array] = found["synflow"]
    assert array.shape == (2, 3) and bool((array > 0).all())


class Counting(nn.Module):
    """Counts its runs, in place and by a new tensor, and goes by their number."""

    def __init__(self):
        super().__init__()
        self.network = plain_network()
        self.register_buffer("runs", torch.zeros(()))
        self.register_buffer("also", torch.zeros(()))

    def forward(self, x):
        self.runs += 1
        self.also = self.also + 1
        return self.network(x) * self.runs


@pytest.mark.parametrize("name", ALONE)
def test_buffers_come_back_and_no_score_hangs_on_the_runs_before(name):
    torch.manual_seed(0)
    network = Counting()
    buffers = dict(network.named_buffers())
    before = {key: value.clone() for key, value in buffers.items()}
    first, second = (score(name, network, minibatch(2, 4)) for _ in range(2))
    assert first == second
    after = dict(network.named_buffers())
    assert all(after[key] is value and torch.equal(value, before[key]) for key, value in buffers.items())


# ---- what cannot be scored, in one line, and wrappers that are no trouble


def weight_norm():
    network = plain_network()
    torch.nn.utils.parametrizations.weight_norm(network[0])
    return network


def pruned():
    network = plain_network()
    prune.l1_unstructured(network[3], "weight", amount=0.5)
    return network


def sequences():
    return nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())


def of_a_fixed_size():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 10))


def without_statistics():
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 10))


class FrozenBody(nn.Module):
    """Its body runs under no_grad."""

    def __init__(self):
        super().__init__()
        self.network = plain_network()

    def forward(self, x):
        with torch.no_grad():
            x = self.network[:-1](x)
        return self.network[-1](x)


@pytest.mark.parametrize(
    "make, name, told",
    [
        (
            weight_norm,
            "snip",
            "the weight of the layer '0' is made of other parameters (weight norm, pruning",
        ),
        (weight_norm, "l2_norm", "the weight of the layer '0' is made of other parameters (weight norm"),
        (pruned, "zen", "the weight of the layer '3' is made of other parameters (weight norm, pruning"),
        (pruned, "synflow", "the weight of the layer '3' is made of other parameters (weight norm, pruning"),
        (sequences, "grad_norm", "the network has neither a Conv2d nor a Linear layer"),
        (sequences, "l2_norm", "the network has neither a Conv2d nor a Linear layer"),
        (
            of_a_fixed_size,
            "meco",
            "meco feeds images of another size than 16 x 16, and this network takes no",
        ),
        (of_a_fixed_size, "linear_regions", "linear_regions feeds images of another size than 16 x 16"),
        (without_statistics, "zen", "zen needs batch norms with running statistics"),
        (FrozenBody, "fisher", "fisher: a part of the network runs without gradients"),
        (FrozenBody, "snip", "snip: a part of the network runs without gradients, the layer 'network.3' (no"),
        (FrozenBody, "jacob_cov", "jacob_cov: a part of the network runs without gradients, the layer"),
        (
            lambda: plain_network().half(),
            "snip",
            "dataloader: the network's weights are torch.float16 and the",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", value) if not isinstance(value, str) else value[:12],
)
def test_what_can_not_be_scored_is_told(make, name, told):
    with pytest.raises(UserError) as error:
        measured(make(), name)
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    "pair, told",
    [
        (
            (torch.zeros(2, 3, 8, 8),) * 3,
            "dataloader: a minibatch is a tuple of 3: it must be a pair of images",
        ),
        (
            {"image": torch.zeros(2, 3, 8, 8)},
            "dataloader: a minibatch is a dict of 1: it must be a pair of images",
        ),
    ],
    ids=["three", "mapping"],
)
def test_minibatches_that_are_no_pairs_are_told(pair, told):
    with pytest.raises(UserError) as error:
        measured(plain_network(), "snip", pair=pair)
    assert str(error.value).startswith(told)


def test_wrapped_networks_score_as_themselves():
    names = ("snip", "fisher", "jacob", "synflow")
    torch.manual_seed(0)
    network = plain_network()
    expected = measured(network, *names)
    assert measured(nn.DataParallel(network), *names) == expected
    compiled = torch.compile(network, backend="eager")
    compiled(minibatch(6, 8).inputs)
    assert measured(compiled, *names) == measured(network, *names)


def test_labels_of_other_whole_numbers():
    batch = minibatch(6, 8)
    torch.manual_seed(0)
    network = plain_network()
    expected = measured(network, "snip")
    assert measured(network, "snip", pair=(batch.inputs, batch.targets.to(torch.int32))) == expected


def test_synflow_leaves_the_signs_of_other_modules_buffers():
    """By hand: one weight of 2 behind a factor of -3; |w g| = 2 * 3."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("factor", torch.tensor(-3.0))
            self.linear = nn.Linear(1, 1, bias=False)
            self.linear.weight.data.fill_(2)

        def forward(self, x):
            seen.append(float(self.factor))
            return self.linear(x.mean((2, 3))) * self.factor

    seen = []
    found = find_measures_arrays(
        Scaled(), [(torch.zeros(2, 1, 8, 8), torch.zeros(2))], ("random", 1, 2), "cpu", ["synflow"]
    )
    assert found["synflow"][0].item() == 6
    assert seen == [-3]
