"""Whatever network and loader find_measures gets: the right score, or one line that names what was wrong."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from foresight_ext import PROXIES, find_measures
from foresight_ext.errors import UserError
from tests.networks import assert_same, images, minibatch, plain_network, snapshot

ALONE = [name for name in PROXIES if len(PROXIES.get(name).parts) == 1]


@pytest.fixture(autouse=True)
def less_work(monkeypatch):
    monkeypatch.setattr(PROXIES.get("zen"), "repeats", 1)
    monkeypatch.setattr(PROXIES.get("linear_regions"), "images", 30)


class Network(nn.Module):
    """Some parts, and a function of them and the images."""

    def __init__(self, forward, **parts):
        super().__init__()
        self._of = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self._of(self, x)


def pairs(inputs=None, labels=None):
    batch = minibatch(6, 8)
    return [(batch.inputs if inputs is None else inputs, batch.targets if labels is None else labels)]


def found(network, names, data=None, **options):
    torch.manual_seed(0)
    data = pairs() if data is None else data
    return find_measures(network, data, ("random", len(data) or 1, 10), "cpu", measure_names=names, **options)


def plain(change=lambda network: network):
    torch.manual_seed(0)
    return change(plain_network())


def wrapped(forward):
    return lambda: Network(forward, body=plain())


def with_norm(norm):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        norm,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )


def vectors(*layers):
    return lambda: nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(8, 10))


def tokens():
    def forward(self, x):
        return self.head(self.relu(self.words(x).mean(1)))

    return Network(forward, words=nn.Embedding(50, 8), relu=nn.ReLU(), head=nn.Linear(8, 10))


def patches(inner):
    """Patches as tokens, what is done with them, and a head."""

    def forward(self, x):
        return self.head(self.relu(inner(self, self.patches(x).flatten(2).transpose(1, 2)).mean(1)))

    return forward, {"patches": nn.Conv2d(3, 8, 4, 4), "relu": nn.ReLU(), "head": nn.Linear(8, 10)}


def attention():
    forward, parts = patches(lambda self, x: self.attention(x, x, x, need_weights=False)[0])
    return Network(forward, attention=nn.MultiheadAttention(8, 2, batch_first=True), **parts)


def recurrent():
    forward, parts = patches(lambda self, x: self.rnn(x)[0])
    return Network(forward, rnn=nn.LSTM(8, 8, batch_first=True), **parts)


def complex_weights():
    conv = nn.Conv2d(3, 4, 3, dtype=torch.complex64)
    return Network(lambda self, x: self.conv(x + 0j).abs().mean((2, 3)), conv=conv, relu=nn.ReLU())


def under(context):
    """The body of the network runs under the context, its last layer does not."""

    def forward(self, x):
        with context():
            x = self.body[:-1](x)
        return self.body[-1](x.clone())

    return wrapped(forward)


def in_checkpoints(reentrant):
    def forward(self, x):
        return self.body[-1](checkpoint(self.body[:-1], x, use_reentrant=reentrant))

    return wrapped(forward)


def never_run():
    return Network(lambda self, x: self.head(x.mean((2, 3)).tanh()), relu=nn.ReLU(), head=nn.Linear(3, 10))


def takes_two():
    class Two(nn.Module):
        def forward(self, x, y):
            return x

    return Two()


NETWORKS = {
    "Conv1d": (vectors(nn.Conv1d(3, 1, 9), nn.BatchNorm1d(1)), lambda: pairs(images(0, 8)[:, :, 0])),
    "Conv1d alone": (
        lambda: nn.Sequential(nn.Conv1d(3, 8, 16), nn.ReLU()),
        lambda: pairs(images(0, 8)[:, :, 0]),
    ),
    "Conv3d": (vectors(nn.Conv3d(3, 8, (1, 16, 16))), lambda: pairs(images(0, 8)[:, :, None])),
    "ConvTranspose2d": (lambda: with_norm(nn.ConvTranspose2d(8, 8, 3)), pairs),
    "layer norm": (lambda: with_norm(nn.LayerNorm((8, 16, 16))), pairs),
    "group norm": (lambda: with_norm(nn.GroupNorm(2, 8)), pairs),
    "instance norm": (lambda: with_norm(nn.InstanceNorm2d(8)), pairs),
    "fixed size": (
        lambda: Network(
            lambda s, x: s.head(s.body[:3](x).view(-1, 2048)), body=plain_network(), head=nn.Linear(2048, 10)
        ),
        pairs,
    ),
    "large kernel": (lambda: nn.Sequential(nn.Conv2d(3, 10, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1)), pairs),
    "vectors": (vectors(nn.Linear(12, 8)), lambda: pairs(images(0, 8)[:, 0, 0, :12])),
    "tokens": (tokens, lambda: pairs(torch.arange(40).view(8, 5))),
    "attention": (attention, pairs),
    "recurrent": (recurrent, pairs),
    "complex": (complex_weights, pairs),
    "a row of numbers": (wrapped(lambda self, x: self.body(x)[:, 0]), pairs),
    "a loss": (wrapped(lambda self, x: self.body(x).square().mean()), pairs),
    "whole numbers": (wrapped(lambda self, x: self.body(x).argmax(1)), pairs),
    "nothing": (wrapped(lambda self, x: None), pairs),
    "no_grad": (under(torch.no_grad), pairs),
    "inference_mode": (under(torch.inference_mode), pairs),
    "checkpoint": (in_checkpoints(False), pairs),
    "reentrant checkpoint": (in_checkpoints(True), pairs),
    "no module runs": (never_run, pairs),
    "two inputs": (takes_two, pairs),
    "half precision": (lambda: plain(nn.Module.half), lambda: pairs(images(6, 8).half())),
    "bfloat16": (lambda: plain(nn.Module.bfloat16), lambda: pairs(images(6, 8).bfloat16())),
    "bytes": (plain, lambda: pairs(images(6, 8).byte())),
    "one image": (plain, lambda: pairs(images(6, 1), torch.zeros(1).long())),
    "one pixel": (plain, lambda: pairs(images(6, 1, 1), torch.zeros(1).long())),
    "NaN": (plain, lambda: pairs(images(6, 8) * math.nan)),
    "one colour": (plain, lambda: pairs(torch.ones(8, 3, 16, 16))),
    "grey": (plain, lambda: pairs(images(6, 8)[:, :1])),
    "float labels": (plain, lambda: pairs(labels=torch.ones(8))),
    "labels beyond": (plain, lambda: pairs(labels=torch.arange(8) + 5)),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_every_proxy_gives_a_number_or_one_line(case):
    make, data = NETWORKS[case]
    for name in ALONE:
        torch.manual_seed(0)
        network = make()
        before = snapshot(network)
        try:
            assert isinstance(found(network, [name], data())[name], float)
        except UserError as error:
            assert str(error) and "\n" not in str(error)
        assert_same(before, snapshot(network))


def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(10))


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = plain()

    def forward(self, x):
        return self.body(x).detach()


NO_GRADIENT = "a part of the network runs without gradients, the layer 'body.3' (no_grad?)"
RUNS = "the network does not take a minibatch of "


@pytest.mark.parametrize(
    "make, data, name, told",
    [
        (under(torch.no_grad), pairs, "snip", f"snip: {NO_GRADIENT}"),
        (under(torch.no_grad), pairs, "jacob_cov", f"jacob_cov: {NO_GRADIENT}"),
        (under(torch.inference_mode), pairs, "zico", f"zico: {NO_GRADIENT}"),
        (
            under(torch.inference_mode),
            pairs,
            "meco",
            "meco: a part of the network runs in inference_mode, which",
        ),
        (in_checkpoints(True), pairs, "ntk", f"ntk: {NO_GRADIENT}"),
        (
            in_checkpoints(False),
            pairs,
            "synflow",
            "synflow: the layer 'body.0' runs again in the backward pass",
        ),
        (Detached, pairs, "synflow", "synflow: the network's output has no gradient (no_grad, detach, whole"),
        (
            never_run,
            pairs,
            "swap",
            "swap looks at what ReLUs read (nn.ReLU, nn.ReLU6, F.relu): none of the network's has run",
        ),
        (
            never_run,
            pairs,
            "meco",
            "meco looks at feature maps, what modules return of 1 x C x H x W: there are",
        ),
        (
            lambda: nn.Sequential(nn.Flatten()),
            pairs,
            "ntk",
            "ntk looks at the gradients of parameters called weight: real ones are needed",
        ),
        (
            complex_weights,
            pairs,
            "fisher",
            "the weight of the layer 'conv' is of complex numbers: they must be",
        ),
        (
            wrapped(lambda self, x: self.body(x).mean()),
            pairs,
            "snip",
            "the network returned a tensor of one number for 8 images: it must return its logits, a row for",
        ),
        (
            wrapped(lambda self, x: self.body(x)[:, 0]),
            pairs,
            "zico",
            "loss_fn: cross entropy needs a number for",
        ),
        (takes_two, pairs, "snip", "the network has neither"),
        (takes_two, pairs, "jacob_cov", f"dataloader: {RUNS}8 x 3 x 16 x 16 (torch.float32): "),
        (
            plain,
            lambda: pairs(images(6, 1, 1), torch.zeros(1).long()),
            "snip",
            f"dataloader: {RUNS}1 x 3 x 1 x 1",
        ),
        (
            plain,
            lambda: pairs(images(6, 8)[:, :1]),
            "params",
            f"dataloader: {RUNS}8 x 1 x 16 x 16 (torch.float32)",
        ),
        (
            plain,
            lambda: pairs(images(6, 8).byte()),
            "params",
            "dataloader: the network's weights are torch.float32 and the images torch.uint8: make them",
        ),
        (
            plain,
            lambda: pairs(labels=torch.ones(8)),
            "plain",
            "loss_fn: it does not take outputs of 8 x 10 and labels of 8 (torch.float32): ",
        ),
        (
            plain,
            lambda: pairs(labels=torch.arange(8) + 5),
            "snip",
            "dataloader: labels go from 5 to 12, and the network's 10 outputs are for 0 to 9",
        ),
        (
            plain,
            lambda: pairs(labels=torch.arange(8) - 1),
            "zico",
            "dataloader: labels go from -1 to 6, and the",
        ),
        (
            plain,
            lambda: pairs(labels=torch.full((8,), -100)),
            "snip",
            "dataloader: all labels are -100, which",
        ),
        (
            tokens,
            lambda: pairs(torch.arange(40).view(8, 5)),
            "synflow",
            "synflow needs images of real numbers, and the minibatch is 8 x 5 (torch.int64): ",
        ),
        (
            vectors(nn.Linear(12, 8)),
            lambda: pairs(images(0, 8)[:, 0, 0, :12]),
            "linear_regions",
            "linear_regions feeds images (n x C x H x W), and this network takes 8 x 12 (torch.float32): ",
        ),
        (
            lambda: with_norm(nn.LayerNorm((8, 16, 16))),
            pairs,
            "meco",
            "meco feeds images of another size than 16",
        ),
        (lazy, pairs, "l2_norm", "net_orig: '0.weight' of a lazy module is not there yet: run the network"),
        (
            lambda: torch.jit.script(plain()),
            pairs,
            "snip",
            "net_orig: what TorchScript has compiled hides its",
        ),
        (lambda: plain().forward, pairs, "snip", "net_orig: a method is given: it must be a torch.nn.Module"),
        (
            lambda: plain().to("meta"),
            pairs,
            "snip",
            "device: the network or the images can't be put on cpu: ",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_was_wrong_is_named(make, data, name, told):
    with pytest.raises(UserError) as error:
        found(make(), [name], data())
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    "data, told",
    [
        (3, "dataloader: int is given, which holds no minibatches"),
        ([], "dataloader: a pass over it gave no minibatch"),
        (pairs(list(images(6, 8))), "dataloader: a minibatch's images are a list: they must be a tensor"),
        (pairs(labels=[1] * 8), "dataloader: a minibatch's labels are a list: they must be a tensor"),
        (
            pairs(images(6, 8).numpy()),
            "dataloader: a minibatch's images are a ndarray: they must be a tensor",
        ),
        (pairs(images(6, 0)), "dataloader: a minibatch has no images: one or more are needed"),
        (pairs(images(6, 7)), "dataloader: a minibatch has 7 images and 8 labels: it must have as many"),
        (pairs() + pairs(images(6, 8, 8)), "dataloader: images differ in size: "),
    ],
    ids=lambda value: value[12:40] if isinstance(value, str) else "",
)
def test_what_was_wrong_with_the_loader_is_named(data, told):
    data = data if isinstance(data, list) else 3
    with pytest.raises(UserError) as error:
        find_measures(plain(), data, ("random", 2, 10), "cpu", measure_names=["snip"])
    assert str(error.value).startswith(told)


def test_images_by_class_need_one_label_each():
    one_hot = pairs(labels=F.one_hot(torch.arange(8), 10))
    with pytest.raises(
        UserError, match="^dataload_info: 'grasp' takes images by class: an image's label must be"
    ):
        find_measures(plain(), one_hot, ("grasp", 1, 8), "cpu", measure_names=["snip"])


# ---- networks that only look strange


def compiled_inside():
    return nn.Sequential(torch.compile(plain(), backend="eager"))


def compiled_in_place():
    network = plain()
    network[3].compile(backend="eager")
    return network


SAME = {
    "compiled inside": compiled_inside,
    "compiled in place": compiled_in_place,
    "DataParallel inside": lambda: nn.Sequential(nn.DataParallel(plain())),
    "frozen": lambda: plain(lambda network: network.requires_grad_(False)),
    "synchronised batch norms": lambda: plain(nn.SyncBatchNorm.convert_sync_batchnorm),
    "made in inference mode": torch.inference_mode()(plain),
}


@pytest.mark.parametrize("case", SAME)
def test_other_forms_of_a_network_score_as_itself(case):
    """All proxies on one network: what one proxy compiles is not to keep the next from looking."""
    assert found(SAME[case](), ALONE) == pytest.approx(found(plain(), ALONE), rel=1e-6)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_does_not_matter_under_what_it_is_called(context):
    with context():
        inside = found(plain(), ALONE, pairs(images(6, 8) + 0))
    assert inside == found(plain(), ALONE)


def test_parametrisations_are_no_feature_maps():
    """By hand: a map of one channel has the eigenvalue 1, before the ReLU and after it."""
    network = nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.utils.parametrizations.weight_norm(network[0])
    assert found(network, ["meco"])["meco"] == pytest.approx(2)


def test_synflow_skips_every_kind_of_batch_norm():
    """By hand: weights of 1 on an image of ones make 2 * 1 for each of two layers."""
    flat, solid = nn.Conv2d(2, 1, 1, bias=False), nn.Conv3d(1, 1, 1, bias=False)
    head = nn.Linear(1, 1, bias=False)
    for layer in (flat, solid, head):
        nn.init.ones_(layer.weight)
    network = nn.Sequential(flat, nn.Unflatten(1, (1, 1)), solid, nn.BatchNorm3d(1), nn.Flatten(), head)
    data = pairs(torch.zeros(2, 2, 1, 1), torch.zeros(2).long())
    assert found(network, ["synflow"], data)["synflow"] == 4


def test_ntk_counts_an_output_of_one_number_as_one_column():
    column = wrapped(lambda self, x: self.body(x)[:, :1])
    row = wrapped(lambda self, x: self.body(x)[:, 0])
    assert found(row(), ["ntk"]) == found(column(), ["ntk"])


def test_grasp_has_second_derivatives_through_attention():
    """Attention over one token is the token: a network that does without has the same score."""
    torch.manual_seed(0)
    attend = nn.MultiheadAttention(3, 1, batch_first=True)
    first, last = nn.Linear(3, 3), nn.Linear(3, 10)

    def attended(self, x):
        x = self.first(x.mean((2, 3)))[:, None]
        return self.last(self.attend(x, x, x, need_weights=False)[0][:, 0])

    def by_hand(self, x):
        x = self.first(x.mean((2, 3)))
        x = F.linear(x, attend.in_proj_weight[6:], attend.in_proj_bias[6:])
        return self.last(self.out_proj(x))

    one = found(Network(attended, first=first, attend=attend, last=last), ["grasp"])
    other = found(Network(by_hand, first=first, out_proj=attend.out_proj, last=last), ["grasp"])
    assert one == pytest.approx(other, rel=1e-4)


def test_weights_that_are_not_looked_at_are_said(caplog):
    found(attention(), ["snip", "params", "zico"])
    [message] = caplog.messages
    assert (
        message == "snip, zico: only Conv2d and Linear layers are looked at, not 'attention.in_proj_weight'"
    )
    caplog.clear()
    found(attention(), ["jacob"])
    found(with_norm(nn.LayerNorm((8, 16, 16))), ["snip"])
    assert caplog.messages == []
    found(recurrent(), ["l2_norm"])
    assert caplog.messages[0].endswith("not 'rnn.weight_ih_l0' and 1 others")
