"""What the ReLUs of a network read: modules, and functions such as F.relu that are called without one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from foresight_ext.functional import hooks, mode

RELUS = (nn.ReLU, nn.ReLU6)
RELU_FUNCTIONS = (torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu, F.relu6)


class SeesZeros(nn.Module):
    """A module that also runs, on zeros, what its output does not need, while its ReLUs are `watched`."""

    watched = False


@contextmanager
def relus_seen(network: nn.Module, record: Callable[[Tensor], None]) -> Iterator[None]:
    """While the network runs, call record(x) with what each ReLU reads (B x ...), before it does.

    A ReLU's output fires where its input does, so that this tells sign patterns as well.
    """
    functions = _Functions(record)

    def enter(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        functions.within += 1
        record(inputs[0])

    def leave(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        functions.within -= 1

    with (
        _watched(network),
        hooks(network, RELUS, enter, before=True),
        hooks(network, RELUS, leave),
        functions,
    ):
        yield


@contextmanager
def _watched(network: nn.Module) -> Iterator[None]:
    """Those that somebody watches already stay watched."""
    modules = [one for one in network.modules() if isinstance(one, SeesZeros) and not one.watched]
    for module in modules:
        module.watched = True
    try:
        yield
    finally:
        for module in modules:
            module.watched = False


def has_relus(network: nn.Module, x: Tensor) -> bool:
    """Whether the network has ReLU modules, or calls such functions when it runs on x in evaluation mode."""
    if any(isinstance(module, RELUS) for module in network.modules()):
        return True
    seen: list[bool] = []
    with torch.no_grad(), mode(network, False), _Functions(lambda x: seen.append(True)):
        network(x)
    return bool(seen)


class _Functions(TorchFunctionMode):
    """Records what functions read that are not part of a ReLU module (`within` counts those that run)."""

    def __init__(self, record: Callable[[Tensor], None]):
        super().__init__()
        self.record = record
        self.within = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.within and function in RELU_FUNCTIONS:
            self.record(args[0] if args else kwargs["input"])
        return function(*args, **kwargs)
