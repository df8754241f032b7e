"""Derivatives by single entries: images together give what each gives alone, or they go alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import mobilenet_v3_small, resnet18

from foresight_ext.functional import mode, own_state
from foresight_ext.measures.jacobians import _alone, jacobians


class Twice(nn.Module):
    """One layer that runs twice, and one whose weights two layers share; it writes into what it is given."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.tied = nn.Conv2d(4, 4, 3, padding=1)
        self.tied.weight = self.again.weight
        self.classifier = nn.Linear(4, 5)

    def forward(self, x):
        x = self.first(x.mul_(2))
        x = self.tied(self.again(F.relu(self.again(x).mul_(2), inplace=True)))
        return self.classifier(x.mean((2, 3)))


class Functional(nn.Module):
    """Convolutions that are called as functions, by name and by position."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 1, 3, 2))
        self.bias = nn.Parameter(torch.randn(6))
        self.linear = nn.Linear(6, 5, bias=False)

    def forward(self, x):
        x = F.conv2d(x, self.weight, bias=self.bias, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=3)
        assert self.weight.shape[0] == self.weight.size(0)  # whoever asks for its size does not read it
        return F.linear(input=x.amax((2, 3)), weight=self.linear.weight)


class Sequences(nn.Module):
    """Tokens along the second dimension, or along the first."""

    def __init__(self, first=False):
        super().__init__()
        self.first = first
        self.inner, self.outer = nn.Linear(9, 7), nn.Linear(7, 5)

    def forward(self, x):
        x = x.flatten(2)[:, :, :9]
        x = x.transpose(0, 1) if self.first else x
        return self.outer(self.inner(x).tanh().mean(0 if self.first else 1))


class Mean(nn.Module):
    """Images look at the others."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, x):
        x = x.mean((2, 3))
        return self.layer(x - x.mean(0, keepdim=True) / 2) + x.sum(1, keepdim=True)


class Product(nn.Module):
    """A weight that is read by an operation of which nothing is known, beside one that is."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, x):
        x = x.mean((2, 3))
        return self.layer(x) + x @ self.layer.weight.t() ** 2


class Turned(nn.Module):
    """A weight that stands where images do, and has as many rows."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 3))

    def forward(self, x):
        return F.linear(self.weight, x.mean((2, 3))).t()


class Cut(nn.Module):
    """A layer on which nothing depends, and one that sees no image."""

    def __init__(self, sees=True):
        super().__init__()
        self.lost, self.layer, self.sees = nn.Linear(3, 3), nn.Linear(3, 5), sees

    def forward(self, x):
        x = x.mean((2, 3))
        return self.layer(x if self.sees else torch.ones_like(x)) + self.lost(x).detach().sum(1, keepdim=True)


def straight(*layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(5))


TOGETHER = {
    "convolutions": lambda: straight(
        nn.Conv2d(3, 8, 3, stride=2, padding=2, dilation=2),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 4, (2, 3), groups=2, bias=False),
        nn.ReLU(),
    ),
    "one axis": lambda: straight(nn.Flatten(2), nn.Conv1d(3, 4, 5, stride=3, padding=1), nn.BatchNorm1d(4)),
    "three axes": lambda: straight(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, (2, 3, 3), stride=2)),
    "two rows": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(6), nn.BatchNorm1d(6), nn.Linear(6, 5)),
    "circular": lambda: straight(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")),
    "twice": Twice,
    "functions": Functional,
    "tokens": Sequences,
    "nothing depends": Cut,
    "resnet": lambda: resnet18(num_classes=5),
    "mobilenet": lambda: mobilenet_v3_small(num_classes=5),
}
ALONE = {
    "same": lambda: straight(nn.Conv2d(3, 4, 3, padding="same")),
    "transposed": lambda: straight(nn.ConvTranspose2d(3, 4, 3)),
    "normalised": lambda: straight(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
    "of the batch": lambda: straight(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
    "attention": lambda: straight(nn.Flatten(2), nn.TransformerEncoderLayer(144, 4, 8, batch_first=True)),
    "tokens first": lambda: Sequences(first=True),
    "the others": Mean,
    "product": Product,
    "turned": Turned,
    "no image": lambda: Cut(sees=False),
}


def made(build):
    torch.manual_seed(0)
    network, images = build().double(), torch.randn(3, 3, 12, 12, dtype=torch.float64)
    with mode(network, False):
        network(images.clone())  # lazy layers
    for module in network.modules():
        if getattr(module, "running_var", None) is not None:
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    entries = {
        name: sorted({0, one.numel() // 2, one.numel() - 1}) for name, one in network.named_parameters()
    }
    return network, images, entries


@pytest.mark.parametrize("name", [*TOGETHER, *ALONE])
def test_images_together_give_what_each_gives_alone(name, monkeypatch):
    network, images, entries = made({**TOGETHER, **ALONE}[name])
    monkeypatch.setattr("foresight_ext.measures.jacobians._TOGETHER", 2)  # of three images
    passes = []
    network.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    with mode(network, False), torch.enable_grad():
        expected = [*_alone(network, own_state(network), images.clone(), entries)]
        passes.clear()
        found = [*jacobians(network, own_state(network), images.clone(), entries)]
    assert passes == ([2, 1] if name in TOGETHER else [2, 1, 1, 1])
    for (outputs, derivatives), (same, by_themselves) in zip(found, expected, strict=True):
        assert not (outputs.requires_grad or derivatives.requires_grad)
        torch.testing.assert_close(outputs, same)
        torch.testing.assert_close(derivatives, by_themselves, rtol=1e-9, atol=1e-12)
    assert not any(parameter.grad is not None for parameter in network.parameters())
