"""A network of 1-D convolutions, searched on signals that are tensors: kernel size, pooling or nothing."""

import torch
from torch import nn

from foresight_ext import MixedOp, zero_cost_pt


def convolution(size: int) -> nn.Module:
    return nn.Sequential(nn.Conv1d(16, 16, size, padding=size // 2), nn.BatchNorm1d(16), nn.ReLU())


def layer(name: str) -> MixedOp:
    candidates = {f"size{size}": convolution(size) for size in (3, 7, 15)}
    candidates |= {"pool": nn.AvgPool1d(3, stride=1, padding=1), "skip": nn.Identity()}
    return MixedOp(candidates, choice=name)


def network() -> nn.Module:
    stem = nn.Sequential(nn.Conv1d(1, 16, 5, stride=2), nn.ReLU())
    return nn.Sequential(
        stem,
        *(layer(f"layer{number}") for number in range(4)),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


# sines, squares and saw-teeth of any frequency and phase, with noise
draw = torch.Generator().manual_seed(0)
labels = torch.arange(600) % 3
cycles, phases = 2 + 6 * torch.rand(600, 1, generator=draw), torch.rand(600, 1, generator=draw)
turns = cycles * torch.linspace(0, 1, 128) + phases
waves = torch.stack([torch.sin(2 * torch.pi * turns), 1 - 2 * (turns % 1 > 0.5).float(), 2 * (turns % 1) - 1])
signals = waves[labels, torch.arange(600)] + 0.1 * torch.randn(600, 128, generator=draw)

found = zero_cost_pt(network, (signals.unsqueeze(1), labels), pool_size=3, validate_rounds=5)
print(found.draw())
print(f"found {found} in {found.seconds['search']:.1f} s")
