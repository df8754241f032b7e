"""How large a network is: its parameters and its multiply-adds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from foresight_ext.functional import attention_in_parts, mode, taking_part


class Complexity(NamedTuple):
    """Parameters, and multiply-adds of the convolutions and matrix products for one image."""

    parameters: int
    multiply_adds: int


def complexity(network: nn.Module, image: Sequence[int]) -> Complexity:
    """Count on a black image of that shape, (channels, height, width), in evaluation mode.

    A network built under `torch.device("meta")` is counted without computing anything.
    """
    black = torch.zeros(1, *image, device=next(network.parameters()).device)
    parameters = sum(weight.numel() for weight in network.parameters())
    return Complexity(parameters, multiply_adds(network, black))


def parameters_taking_part(network: nn.Module, x: Tensor) -> int:
    """How many parameters take part in the result for images x: in a supernet that depends on its mixing."""
    return sum(weight.numel() for weight in taking_part(network, x))


@torch.no_grad()
def multiply_adds(network: nn.Module, x: Tensor) -> int:
    """Multiply-adds for images x, of the operations that run: in a supernet that depends on its mixing."""
    counter = _Operations()
    with mode(network, False), attention_in_parts(), counter:
        network(x)
    # PyTorch's formulas take a multiplication and an addition for two operations
    return counter.total // 2


class _Operations(TorchDispatchMode):
    """Adds up PyTorch's formulas. Its FlopCounterMode, which tells modules apart, takes much longer."""

    total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.is_inference_mode_enabled():  # there composite operations have not come apart yet
            with self:
                result = function.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        result = function(*args, **(kwargs or {}))
        formula = flop_registry.get(function.overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result
