"""Networks that would have got a wrong number without a word, or a traceback: the right one, or a line."""

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

from foresight_ext import PROXIES, find_measures, find_measures_arrays
from foresight_ext.errors import UserError
from foresight_ext.functional import only_logits
from foresight_ext.images.batches import Batch
from foresight_ext.measures.complexity import multiply_adds
from foresight_ext.measures.layers import LayerProxy
from foresight_ext.measures.linear_regions import LinearRegions
from foresight_ext.measures.proxy import network_score
from foresight_ext.measures.zen import Zen
from foresight_ext.supernets.supernet import Choice, Masked, Supernet
from tests.networks import images, minibatch, plain_network

ALONE = [name for name in PROXIES if len(PROXIES.get(name).parts) == 1]
SMALLER = {"zen": Zen(repeats=1), "linear_regions": LinearRegions(images=30)}


def score(name, network, batch):
    return network_score(SMALLER.get(name, PROXIES.get(name)), network, batch)


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


# ---- operations in place


class Residual(nn.Module):
    """A residual network whose activations and additions work in place, or do not."""

    def __init__(self, inplace):
        super().__init__()
        self.inplace = inplace
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu, self.relu2 = nn.ReLU(inplace), nn.ReLU(inplace)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 10)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        y = self.norm(self.conv2(x))
        if self.inplace:
            y += x
        else:
            y = y + x
        return self.head(self.pool(self.relu2(y)).flatten(1))


@pytest.mark.parametrize("name", ALONE)
def test_operations_in_place_change_no_score(name):
    scores = []
    for inplace in (False, True):
        torch.manual_seed(3)
        scores.append(score(name, Residual(inplace), minibatch(2, 8)))
    assert scores[1] == pytest.approx(scores[0], rel=1e-6)


def test_meco_counts_what_activations_in_place_make():
    """By hand: two maps of one channel each have the smallest eigenvalue 1, where they are not constant."""
    for inplace in (False, True):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU(inplace), nn.Flatten(), nn.LazyLinear(2))
        network(torch.zeros(1, 3, 64, 64))
        assert score("meco", network, Batch(torch.zeros(1, 3, 64, 64), torch.zeros(1))) == pytest.approx(2)


# ---- several outputs


@dataclass
class Named:
    features: torch.Tensor
    scores: torch.Tensor


class Several(nn.Module):
    """Returns features and logits in some form."""

    def __init__(self, form):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.form = plain_network()[:-1], nn.Linear(16, 10), form

    def forward(self, x):
        features = self.body(x)
        return self.form(features, self.head(features))


FORMS = {
    "tuple": (lambda features, logits: (features, logits), 1),
    "list": (lambda features, logits: [features, logits], -1),
    "mapping": (lambda features, logits: {"features": features, "scores": logits}, "scores"),
    "dataclass": (Named, "scores"),
    "function": (lambda features, logits: ((features,), (logits,)), lambda both: both[1][0]),
}


@pytest.mark.parametrize("name", FORMS)
def test_one_of_several_outputs_is_chosen(name):
    form, output = FORMS[name]
    batch = minibatch(4, 8)
    data, names = [(batch.inputs, batch.targets)], ["snip", "synflow", "jacob_cov", "fisher"]
    alone = Several(lambda features, logits: logits)
    expected = find_measures(alone, data, ("random", 1, 10), "cpu", measure_names=names)
    found = find_measures(Several(form), data, ("random", 1, 10), "cpu", measure_names=names, output=output)
    assert found == expected


def test_several_outputs_are_told_with_how_to_choose():
    batch = minibatch(4, 8)
    with pytest.raises(UserError) as error:
        score("snip", Several(FORMS["tuple"][0]), batch)
    assert str(error.value).startswith(
        "the network returned a tuple of a tensor of 8 x 16, a tensor of 8 x 10: it must return its logits"
    )
    assert "output= (an index, a key or a function)" in str(error.value)
    data = [(batch.inputs, batch.targets)]
    for output in (7, "logits"):
        with pytest.raises(UserError, match=f"output={output!r}: the network returned a "):
            network = Several(FORMS["tuple"][0])
            find_measures(network, data, ("random", 1, 10), "cpu", measure_names=["snip"], output=output)
    with pytest.raises(UserError, match="returned a mapping of a: a tensor of 2 x 3, b: a NoneType"):
        only_logits(nn.Identity(), {"a": torch.zeros(2, 3), "b": None})


# ---- weights that others use


class Attention(nn.Module):
    """Patches, attention over them, a head; attention uses a projection's weight without calling it."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, 10)
        self.idle = nn.Linear(5, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


def test_weights_of_modules_that_do_not_run_themselves_count():
    torch.manual_seed(0)
    network, batch = Attention(), minibatch(0, 4, size=32)
    idle = sum(p.numel() for p in network.idle.parameters())
    every = sum(p.numel() for p in network.parameters())
    assert score("params", network, batch) == every - idle
    layers = (network.patches, network.attention.out_proj, network.head)
    expected = sum(layer.weight.norm() for layer in layers)
    assert score("l2_norm", network, batch) == pytest.approx(expected.item())


class Borrowing(nn.Module):
    """Uses the weights of layers that it does not call, and does so where no gradient tells of it."""

    def __init__(self, body):
        super().__init__()
        self.conv, self.linear, self.idle = nn.Conv2d(3, 8, 3), nn.Linear(8, 10), nn.Linear(5, 5)
        self.body = body

    def forward(self, x):
        return self.body(self, x)


def functional(self, x):
    x = F.conv2d(x, self.conv.weight, self.conv.bias).relu().mean((2, 3))
    return F.linear(x, self.linear.weight, self.linear.bias)


def in_place(self, x):
    weight = torch.empty(8, 3, 3, 3).copy_(self.conv.weight.data)
    x = F.conv2d(x, weight, self.conv.bias).relu().mean((2, 3))
    return torch.addmm(self.linear.bias.data, x, self.linear.weight.data.T)


def partly(self, x):
    with torch.no_grad():
        x = F.conv2d(x, self.conv.weight, self.conv.bias).relu().mean((2, 3))
    return self.linear(x)


BODIES = {
    "gradients": functional,
    "no_grad": torch.no_grad()(functional),
    "a part under no_grad": partly,
    "inference_mode": torch.inference_mode()(functional),
    "detached": lambda self, x: functional(self, x).detach(),
    "whole numbers": lambda self, x: functional(self, x).argmax(1),
    "in place": in_place,
}


@pytest.mark.parametrize("body", BODIES)
def test_sizes_count_what_is_used_whether_a_gradient_tells_or_not(body):
    """By hand: 8 * 3 * 9 + 8 and 8 * 10 + 10 parameters; 6 * 6 * 8 * 27 and 80 multiply-adds."""
    torch.manual_seed(0)
    network, batch = Borrowing(BODIES[body]), minibatch(0, 4, size=8)
    assert score("params", network, batch) == 224 + 90
    assert score("flops", network, batch) == 6 * 6 * 8 * 27 + 80
    expected = network.conv.weight.norm() + network.linear.weight.norm()
    assert score("l2_norm", network, batch) == pytest.approx(expected.item())


class NoGradients(Supernet):
    """Two convolutions of which a mixing chooses, under no_grad."""

    choices = (Choice("layer", ("small", "large")),)

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)])

    @torch.no_grad()
    def forward(self, x, mixing):
        pairs = zip(mixing[0], self.layers)
        return sum(w * F.conv2d(x, one.weight, one.bias, padding="same") for w, one in pairs if w).mean(
            (2, 3)
        )


def test_candidates_of_weight_0_do_not_count_where_no_gradient_tells():
    found = [
        score("params", Masked(NoGradients(), (row,)), minibatch(0, 2)) for row in ((1, 0), (0, 1), (1, 1))
    ]
    assert found == [16, 112, 128]


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


class Shortcut(nn.Module):
    """What a batch norm returns is added to in place, or not, while its input is still needed."""

    def __init__(self, in_place):
        super().__init__()
        self.conv, self.relu, self.bn = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(3)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(3, 10)
        self.in_place = in_place

    def forward(self, x):
        out = self.bn(self.relu(self.conv(x)))
        if self.in_place:
            out += x
        else:
            out = out + x
        return self.head(self.pool(out).flatten(1))


@pytest.mark.parametrize("name", ALONE)
def test_adding_in_place_behind_a_batch_norm_changes_no_score(name):
    one, other = Shortcut(in_place=True), Shortcut(in_place=False)
    other.load_state_dict(one.state_dict())
    scores = [score(name, network, minibatch(0, 8)) for network in (one, other)]
    assert scores[0] == pytest.approx(scores[1])


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


# ---- what cannot be scored, in one line, and wrappers that are no trouble


def measured(network, *names, pair=None, batch=None):
    batch = batch or minibatch(6, 8)
    data = [pair or (batch.inputs, batch.targets)]
    return find_measures(network, data, ("random", 1, 10), "cpu", measure_names=list(names))


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


class TrainingPair(nn.Module):
    """Returns a pair in training mode and its logits alone in evaluation mode, as torchvision's do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = plain_network()

    def forward(self, x):
        x = self.network(x)
        return (x, x) if self.training else x


@pytest.mark.parametrize("training", [True, False])
def test_an_output_is_chosen_only_where_there_are_several(training):
    batch = minibatch(7, 8)
    data, name = [(batch.inputs, batch.targets)], "jacob_cov"
    torch.manual_seed(0)
    expected = measured(plain_network().train(training), name, batch=batch)
    network = TrainingPair().train(training)
    found = find_measures(network, data, ("random", 1, 10), "cpu", measure_names=[name], output=0)
    assert found == pytest.approx(expected)


def test_attention_is_counted_by_hand():
    """Of 2 heads of 4 numbers on 9 tokens: 4 projections of 8 x 8, and 9 x 9 x 4 twice a head."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    by_hand = 4 * 9 * 8 * 8 + 2 * (2 * 9 * 9 * 4)
    assert multiply_adds(Layer(), torch.randn(1, 9, 8)) == by_hand


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
