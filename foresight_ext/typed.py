"""What annotations can't tell of modules in a list and of sums of tensors, told where they are used."""

from collections.abc import Iterable
from typing import TypeVar

from torch import Tensor, nn

Kind = TypeVar("Kind", bound=nn.Module)


def of_kind(kind: type[Kind], modules: Iterable[nn.Module]) -> list[Kind]:
    """The modules, all of which are of that kind."""
    found: list[Kind] = []
    for module in modules:
        assert isinstance(module, kind)
        found.append(module)
    return found


def added(terms: Iterable[Tensor]) -> Tensor:
    """The sum of tensors, of one at least."""
    total = sum(terms)
    assert isinstance(total, Tensor)
    return total
