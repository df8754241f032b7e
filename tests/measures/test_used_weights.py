"""Sizes count the weights that take part, and the multiply-adds of attention."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from foresight_ext.measures.complexity import multiply_adds
from foresight_ext.supernets.supernet import Choice, Masked, Supernet
from tests.measures.scoring import score
from tests.networks import minibatch


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
