"""How large a network is: its parameters and its multiply-adds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from foresight_ext.functional import taking_part


class Complexity(NamedTuple):
    """Parameters, and multiply-adds of the convolutions and matrix products for one image."""

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


class _Operations(TorchDispatchMode):
    """Adds up PyTorch's formulas. Its FlopCounterMode, which tells modules apart, takes much longer."""

    total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        formula = flop_registry.get(function.overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def what_runs(network: nn.Module, x: Tensor) -> Complexity:
    """The same of what takes part for an image x (1 x C x H x W), in a supernet under its mixing."""
    counter = _Operations()
    parameters = taking_part(network, x, counter)
    # PyTorch's formulas take a multiplication and an addition for two operations
    return Complexity(sum(weight.numel() for weight in parameters), counter.total // 2)
