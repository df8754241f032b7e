"""AZ-NAS's features: what a network's stem and each of its cells give, under weights drawn anew."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from foresight_ext.errors import UserError
from foresight_ext.functional import Weights, hooks, logits, mode


def stem_and_cells(network: nn.Module) -> list[nn.Module]:
    """The `stem` and the `cells` (a ModuleList) of the first module that has both.

    A network without them is taken apart once, into its own parts, those of lists and of sequences of larger
    parts one by one.
    """
    for module in network.modules():
        stem, cells = getattr(module, "stem", None), getattr(module, "cells", None)
        if isinstance(stem, nn.Module) and isinstance(cells, nn.ModuleList):
            return [stem, *cells]
    parts = _parts(network)
    while len(parts) == 1 and any(parts[0].children()):  # what only wraps another
        parts = _parts(parts[0])
    return parts


def _parts(module: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for child in module.children():
        larger = isinstance(child, nn.Sequential) and any(any(one.children()) for one in child)
        listed = larger or isinstance(child, (nn.ModuleList, nn.ModuleDict))
        found.extend(_parts(child) if listed else [child])
    return found


def run_stages(
    network: nn.Module, state: Weights, images: Tensor, take: Callable[[Tensor], Tensor | None]
) -> None:
    """Run the network in training mode; `take` sees each feature map (B x C x H x W) in order.

    What it returns goes on through the network in the feature map's place, unless it is None. Of a stem that
    returns several, such as the two inputs of a cell, the last is taken. UserError if there are fewer than
    two feature maps.
    """
    wanted = set(stem_and_cells(network))
    count = 0

    def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        nonlocal count
        several = isinstance(output, tuple) and len(output) > 0
        last = output[-1] if several else output
        if module not in wanted or not isinstance(last, Tensor) or last.dim() != 4:
            return None
        count += 1
        instead = take(last)
        if instead is None or not several:
            return instead
        return tuple(instead if one is last else one for one in output)

    with mode(network, True), hooks(network, nn.Module, record):
        logits(network, state, images)
    if count < 2:
        raise UserError(
            "aznas compares feature maps (B x C x H x W), those of a network's stem and cells or of its "
            f"parts: there is {count or 'none'} and two or more are needed"
        )
