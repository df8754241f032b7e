"""A small network with a choice of every kind, and images for it."""

import torch
from torch import nn

from foresight_ext import MixedNode, MixedOp, Zero


def convolution(inputs, outputs, size, stride=1):
    layers = [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(nn.ReLU(), *layers)


class Plain(nn.Module):
    """Two places of one choice, another group, `Zero` at a stride, and a choice within a candidate."""

    def __init__(self, classes=4, channels=3):
        super().__init__()
        self.stem = MixedOp([lambda: nn.Conv2d(channels, 4, 3, padding=1), lambda: nn.Conv2d(channels, 4, 1)])
        self.down = MixedOp({"conv": lambda: convolution(4, 8, 3, 2), "none": Zero(8, stride=2)})
        self.short = nn.Conv2d(4, 8, 1, 2)
        self.first, self.second = (
            MixedOp(
                {"conv3x3": lambda: convolution(8, 8, 3), "skip": nn.Identity}, choice="pair", group="pairs"
            )
            for _ in range(2)
        )
        inner = {"conv3x3": lambda: convolution(8, 8, 3), "conv1x1": lambda: convolution(8, 8, 1)}
        deep = nn.Sequential(convolution(8, 8, 1), MixedOp(inner))
        self.out = MixedOp({"skip": nn.Identity(), "deep": deep})
        self.relu, self.pool, self.head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(8, classes)

    def forward(self, x):
        x = self.stem(x)
        x = self.second(self.first(self.down(x) + self.short(x)))
        return self.head(self.pool(self.relu(self.out(x))).flatten(1))


class Cell(nn.Module):
    """A node that keeps two of its three edges."""

    def __init__(self, classes=4):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.left, self.right = convolution(4, 4, 1), convolution(4, 4, 3)
        edges = [MixedOp({"conv": convolution(4, 4, 3), "skip": nn.Identity()}) for _ in range(3)]
        self.node = MixedNode(edges, keep=2)
        self.relu, self.pool, self.head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(4, classes)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.pool(self.relu(self.node([x, self.left(x), self.right(x)]))).flatten(1))


# of Plain: a genotype with and without the nested choice, and how many choices run
SHALLOW = {"stem": "1", "down": "conv", "pair": "conv3x3", "out": "skip"}
DEEP = {"stem": "0", "down": "conv", "pair": "skip", "out": "deep", "out/deep/1": "conv1x1"}


def tensors(count=24, shape=(3, 8, 8), classes=4):
    """A pair of images and labels."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(count, *shape, generator=draw), torch.arange(count) % classes
