"""Pooling layers compute channels-last on a CPU: several times faster, and the same to the last bit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from foresight_ext.functional import hooks

_POOLS = (nn.AvgPool2d, nn.MaxPool2d)
# with fewer channels, or windows that do not overlap, turning costs what it saves
_LEAST_CHANNELS = 8


@contextmanager
def pooling_channels_last(network: nn.Module) -> Iterator[None]:
    """Let the network's pooling layers turn contiguous images channels-last, and turn back what they return.

    On contiguous images PyTorch goes through windows number by number, on channels-last ones by as many
    channels as the processor takes at once, in the same order. Convolutions are not turned: they would round
    otherwise, and PyTorch 2.14 has channels-last gradients that spoil memory.
    """
    turned: set[nn.Module] = set()

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not (inputs and isinstance(inputs[0], Tensor) and _gains(module, inputs[0])):
            return None
        try:
            x = inputs[0].contiguous(memory_format=torch.channels_last)
        except RuntimeError:  # vmap knows no layouts
            return None
        turned.add(module)
        if x.requires_grad:  # gradients are channels-last within the layer, and contiguous outside of it
            x.register_hook(lambda gradient: gradient.contiguous())
        return x, *inputs[1:]

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        if module not in turned:
            return None
        turned.remove(module)
        if not isinstance(output, Tensor):  # and the places of the largest
            return tuple(one.contiguous() for one in output)
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
        return output.contiguous()

    # a layer made of one may compute anything
    pools = nn.ModuleList(module for module in network.modules() if type(module) in _POOLS)
    with hooks(pools, _POOLS, before, before=True), hooks(pools, _POOLS, after):
        yield


def _gains(pool: Any, x: Tensor) -> bool:
    """Whether a pooling layer is faster on images x when these are turned."""
    sizes = (pool.kernel_size, pool.stride)
    kernel, stride = ((size, size) if isinstance(size, int) else size for size in sizes)
    return (
        x.is_cpu
        and x.dtype == torch.float32
        and x.dim() == 4
        and x.shape[1] >= _LEAST_CHANNELS
        and x.is_contiguous()
        and x.stride(1) > 1  # or they lie both ways
        and any(step < side for step, side in zip(stride, kernel))
    )
