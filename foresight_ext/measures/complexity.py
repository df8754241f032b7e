"""How large a network is: its parameters and its multiply-adds."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from foresight_ext.functional import LAYERS, hooks, mode


class Complexity(NamedTuple):
    """Parameters, and multiply-adds of the convolutions and linear layers for one image."""

    parameters: int
    multiply_adds: int


def complexity(network: nn.Module, image: Sequence[int]) -> Complexity:
    """Count on a black image of that shape, (channels, height, width), in evaluation mode.

    A network built under `torch.device("meta")` is counted without computing anything.
    """
    black = torch.zeros(1, *image, device=next(network.parameters()).device)
    return Complexity(
        sum(weight.numel() for weight in network.parameters()), what_runs(network, black).multiply_adds
    )


@torch.no_grad()
def what_runs(network: nn.Module, x: Tensor) -> Complexity:
    """The same of the modules that run on one image x (1 x C x H x W): a supernet's depend on its mixing."""
    parameters: set[nn.Parameter] = set()
    multiply_adds: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        parameters.update(module.parameters(recurse=False))
        if isinstance(module, LAYERS):
            # a weight meets every position of the output once: positions are what is left beside the channels
            channels = output.shape[1 if isinstance(module, nn.Conv2d) else -1]
            multiply_adds.append(module.weight.numel() * (output.numel() // channels))

    with mode(network, False), hooks(network, nn.Module, count):
        network(x)
    return Complexity(sum(weight.numel() for weight in parameters), sum(multiply_adds))
