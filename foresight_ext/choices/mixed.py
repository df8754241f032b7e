"""`MixedOp`, where a network keeps one of several candidates; `MixedNode` keeps some of its edges."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from foresight_ext.errors import UserError
from foresight_ext.functional import added, of_kind, own_state
from foresight_ext.supernets.relus import SeesZeros

# a candidate operation, or what makes one
Candidate = nn.Module | Callable[[], nn.Module]

# names stand in genotypes (choice=candidate,choice=candidate) and between the slashes of nested choices
_NOT_IN_NAMES = re.compile(r"[\s,=/]")


class MixedOp(SeesZeros):
    """The weighted sum of candidate operations, one of which a search keeps (Zero-Cost-PT, section 3).

    It stands anywhere in a network, in another's candidate too, and takes what its candidates take; they
    return tensors of one shape. A candidate of weight 0 does not run. Until a supernet gives it weights, all
    are equal.

    Args:
        candidates: by name, modules or functions that make one; a list's candidates are called 0, 1, ...
        choice: the decision that this place belongs to; None means one of its own, called by the place.
            Several places of one choice are decided together; each has weights of its own.
        group: choices of several groups (cell types) are decided side by side, one of each in a step.
        removed_see_zeros: whether candidates of weight 0 run on zeros and add nothing where ReLUs are
            looked at (on NAS-Bench-Macro and NAS-Bench-201 theirs count), in place of not running.

    Raises:
        UserError: no candidates, a name that can't stand in a genotype, a candidate that is no module, or
            one module given as two candidates.
    """

    def __init__(
        self,
        candidates: Mapping[str, Candidate] | Sequence[Candidate],
        choice: str | None = None,
        group: str = "network",
        removed_see_zeros: bool = False,
    ):
        super().__init__()
        if not isinstance(candidates, Mapping):
            candidates = {str(number): candidate for number, candidate in enumerate(candidates)}
        where = "MixedOp" if choice is None else f"MixedOp of '{choice}'"
        if not candidates:
            raise UserError(f"{where}: it needs one candidate or more")
        for name in (*candidates, *([] if choice is None else [choice])):
            if not isinstance(name, str) or not name or _NOT_IN_NAMES.search(name):
                raise UserError(
                    f"{where}: the name {name!r} can't stand in a genotype: no spaces and no , = /"
                )
        self.choice = choice
        self.group = group
        self.removed_see_zeros = removed_see_zeros
        self.names = tuple(candidates)
        self.candidates = nn.ModuleList(_made(where, *one) for one in candidates.items())
        if len(set(self.candidates)) < len(self.names):
            raise UserError(
                f"{where}: one module is two candidates: give each its own, or functions that make them"
            )
        self.row: tuple[float, ...] = (1 / len(self.names),) * len(self.names)
        self._shapes: dict[Any, torch.Size] = {}

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        total: Tensor | None = None
        for weight, candidate in zip(self.row, self.candidates):
            if weight:
                term = candidate(*inputs, **named)
                term = term if weight == 1 else weight * term
                total = term if total is None else total + term
            elif self.removed_see_zeros and self.watched:
                candidate(*map(_zeros, inputs), **{name: _zeros(one) for name, one in named.items()})
        return self.nothing(inputs, named) if total is None else total

    def nothing(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
        """Zeros of the shape that the candidates give, none of which runs."""
        tensors = [one for one in (*inputs, *named.values()) if isinstance(one, Tensor)]
        key = tuple(one.shape for one in tensors)
        if key not in self._shapes:
            with _unseen():
                self._shapes[key] = self._shape(inputs, named)
        return tensors[0].new_zeros(self._shapes[key])

    def _shape(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> torch.Size:
        twin = copy.deepcopy(self.candidates[0])
        for module in twin.modules():
            module._forward_hooks.clear()
            module._forward_pre_hooks.clear()
        meta = {name: value.to("meta") for name, value in own_state(twin).items()}

        def moved(one: Any) -> Any:
            return one.to("meta") if isinstance(one, Tensor) else one

        arguments = {name: moved(one) for name, one in named.items()}
        shaped: Tensor = torch.func.functional_call(twin, meta, tuple(map(moved, inputs)), arguments)
        return shaped.shape

    def extra_repr(self) -> str:
        return "" if self.choice is None else f"choice={self.choice!r}"


class MixedNode(nn.Module):
    """The sum of several MixedOps, of which a search keeps `keep` when all of them are decided.

    Called with as many inputs as there are edges; an edge of weight 0 does not run. Nodes of the same choices
    are one decision. UserError where `keep` is no number of edges.
    """

    def __init__(self, edges: Sequence[MixedOp], keep: int):
        super().__init__()
        if not 1 <= keep <= len(edges):
            raise UserError(f"MixedNode: keep={keep}: it must be from 1 to {len(edges)}, the number of edges")
        self.edges = nn.ModuleList(edges)
        self.keep = keep

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        pairs = list(zip(of_kind(MixedOp, self.edges), inputs, strict=True))
        running = [pair for pair in pairs if any(pair[0].row)]
        return added(edge(x) for edge, x in running or pairs[:1])


class Node(nn.Module):
    """The sum of the operations that a MixedNode kept; `sources` are their inputs' positions."""

    def __init__(self, operations: Sequence[nn.Module], sources: Sequence[int]):
        super().__init__()
        self.operations = nn.ModuleList(operations)
        self.sources = tuple(sources)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        return added(one(inputs[source]) for one, source in zip(self.operations, self.sources))


class Zero(nn.Module):
    """No operation (`none`): zeros, of the input's shape or of other channels and a smaller size.

    `channels` are the output's (None: the input's); each spatial dimension of n becomes ceil(n / stride).
    """

    def __init__(self, channels: int | None = None, stride: int = 1):
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        size = [-(-length // self.stride) for length in x.shape[2:]]
        return x.new_zeros(x.shape[0], self.channels or x.shape[1], *size)

    def extra_repr(self) -> str:
        return f"channels={self.channels}, stride={self.stride}"


def _zeros(one: Any) -> Any:
    return torch.zeros_like(one) if isinstance(one, Tensor) else one


@contextmanager
def _unseen() -> Iterator[None]:
    """Whoever counts the operations that run (multiply-adds, ReLUs) is to see none of these."""
    with _disable_current_modes(), torch._C.DisableTorchFunction():
        yield


def _made(where: str, name: str, candidate: Candidate) -> nn.Module:
    made = not isinstance(candidate, nn.Module) and callable(candidate)
    module = candidate() if made else candidate
    if not isinstance(module, nn.Module):
        raise UserError(
            f"{where}: the candidate '{name}' is a {type(module).__name__}: it must be an nn.Module"
        )
    return module
