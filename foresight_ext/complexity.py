"""How large a network is: its parameters and its multiply-adds."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Complexity(NamedTuple):
    """Parameters, and multiply-adds of the convolutions and linear layers for one image."""

    parameters: int
    multiply_adds: int


def complexity(network: nn.Module, image: Sequence[int]) -> Complexity:
    """Count on a black image of that shape, (channels, height, width), in evaluation mode.

    A network built under `torch.device("meta")` is counted without computing anything.
    """
    counts: list[int] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # a weight meets every position of the output once: positions are what is left beside the channels
        channels = output.shape[1 if isinstance(layer, nn.Conv2d) else -1]
        counts.append(layer.weight.numel() * (output.numel() // channels))

    was_training = network.training
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        network.eval()
        with torch.no_grad():
            network(torch.zeros(1, *image, device=layers[0].weight.device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return Complexity(sum(weight.numel() for weight in network.parameters()), sum(counts))
