"""What a first run of a network with MixedOps shows: candidates that can't be added up."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from foresight_ext.choices.mixed import MixedOp
from foresight_ext.choices.supernet import NetworkSupernet
from foresight_ext.errors import UserError
from foresight_ext.supernets.supernet import Choice


@contextmanager
def candidates_compared(supernet: NetworkSupernet) -> Iterator[None]:
    """While it runs, UserError if candidates return no tensors, or of several shapes."""
    with ExitStack() as compared:
        for choice, operations in zip(supernet.choices, supernet.operations):
            for operation in operations:
                compared.enter_context(_compared(choice, operation))
        yield


def shape(x: Tensor) -> str:
    """A tensor's shape in words."""
    return " x ".join(map(str, x.shape))


@contextmanager
def _compared(choice: Choice, operation: MixedOp) -> Iterator[None]:
    """While the network runs, UserError if candidates return no tensors, or of several shapes.

    Or if one changes its input in place, which the others read.
    """
    names = dict(zip(operation.candidates, operation.names))
    first, before = [""], [0]

    def note(candidate: nn.Module, inputs: tuple[Any, ...]) -> None:
        before[0] = _changes(inputs)

    def compare(candidate: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        name = names[candidate]
        if _changes(inputs) != before[0]:
            raise UserError(
                f"'{choice.name}': its candidate '{name}' changes its input in place, which the others read: "
                "it must not (inplace=False)"
            )
        if not isinstance(output, Tensor):
            kind = type(output).__name__
            raise UserError(f"'{choice.name}': its candidate '{name}' returns a {kind}: it must be a tensor")
        if name == operation.names[0]:
            first[0] = shape(output)
        elif shape(output) != first[0]:
            both = f"'{operation.names[0]}' returns {first[0]} and '{name}' {shape(output)}"
            raise UserError(f"'{choice.name}': its candidate {both}: they must be of one shape")

    handles = [candidate.register_forward_hook(compare) for candidate in operation.candidates]
    handles += [candidate.register_forward_pre_hook(note) for candidate in operation.candidates]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _changes(inputs: tuple[Any, ...]) -> int:
    """How often the tensors were changed in place."""
    return sum(one._version for one in inputs if isinstance(one, Tensor) and not one.is_inference())
