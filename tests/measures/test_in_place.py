"""Operations in place change no score."""

import pytest
import torch
from torch import nn

from foresight_ext.images.batches import Batch
from tests.measures.scoring import ALONE, score
from tests.networks import minibatch


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
