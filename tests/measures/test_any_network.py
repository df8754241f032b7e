"""Whatever network find_measures gets: the right score, or one line."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from foresight_ext import PROXIES
from foresight_ext.errors import UserError
from tests.measures.made_networks import (
    Network,
    attention,
    complex_weights,
    found,
    in_checkpoints,
    never_run,
    pairs,
    plain,
    recurrent,
    takes_two,
    tokens,
    under,
    vectors,
    with_norm,
    wrapped,
)
from tests.networks import assert_same, images, plain_network, snapshot

ALONE = [name for name in PROXIES if len(PROXIES.get(name).parts) == 1]


@pytest.fixture(autouse=True)
def less_work(monkeypatch):
    monkeypatch.setattr(PROXIES.get("zen"), "repeats", 1)
    monkeypatch.setattr(PROXIES.get("linear_regions"), "images", 30)


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
