"""Weights and images drawn at random in place of the given ones: what several proxies score instead."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from foresight_ext.functional import BATCH_NORMS, LAYERS, Weights, check_weights, own_state
from foresight_ext.images.batches import Batch


def normal(like: Tensor, draw: torch.Generator) -> Tensor:
    """Standard normal numbers of the shape, type and device, the same on every device."""
    return torch.randn(like.shape, generator=draw, device="cpu").to(like)


def kaiming(weight: Tensor) -> float:
    """The deviation of Kaiming's initialisation for ReLUs, by the number of inputs."""
    return math.sqrt(2 / weight[0].numel())


def draw_weights(
    network: nn.Module,
    state: Weights,
    draw: torch.Generator,
    deviation: Callable[[Tensor], float] = lambda weight: 1.0,
) -> None:
    """New normal weights of all layers, in module order; batch norms scale by 1, and all biases are 0."""
    for name, module in network.named_modules():
        for part, _ in module.named_parameters(recurse=False):
            value = state[f"{name}.{part}" if name else part]
            if part == "bias":
                value.zero_()
            elif isinstance(module, LAYERS):
                value.copy_(normal(value, draw) * deviation(value))
            elif isinstance(module, BATCH_NORMS):
                value.fill_(1)


@torch.no_grad()
def drawn_anew(network: nn.Module, batch: Batch) -> tuple[Weights, Tensor, torch.Generator]:
    """Kaiming weights and as many normal images as the minibatch has, of its seed; the generator goes on.

    What AZ-NAS and VKDNW score, instead of the given weights and images.
    """
    check_weights(network, (*LAYERS, *BATCH_NORMS))
    state = own_state(network, torch.clone)
    draw = torch.Generator("cpu").manual_seed(batch.seed)
    draw_weights(network, state, draw, kaiming)
    return state, normal(batch.inputs, draw), draw
