"""What a supernet is to the shared code: choices with mixing weights, and a masked forward pass."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foresight_ext.supernets.kernel import AgreementKernel, record_by_hooks

# one row of weights a choice, one weight a candidate; plain numbers, so that a mixing is a value:
# it can be compared, hashed and stored, and lies on no device
Mixing = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Choice:
    """A place where one of several candidate operations is kept: an edge of a cell, a layer of a chain.

    `group` tells cell types apart (e.g. normal, reduce): one choice of each group is decided in a step. A
    group that is decided waits for larger ones. `within` is the earlier choice (its index) and the candidate
    in which this one stands, if it is nested: it is not decided where another candidate is kept.
    """

    name: str
    candidates: tuple[str, ...]
    group: str = "cell"
    within: tuple[int, int] | None = None


@dataclass(frozen=True)
class Node:
    """A node that keeps `keep` of its incoming edges once all operations are decided (topology steps).

    `choices` are the edges' indices. Like choices, one node of each group is decided in a step.
    """

    name: str
    choices: tuple[int, ...]
    keep: int
    group: str = "cell"


def softmax_mixing(alphas: Iterable[Tensor]) -> Mixing:
    """The mixing weights of rows of alphas (each of shape (candidates,))."""
    return tuple(tuple(torch.softmax(row, dim=-1).tolist()) for row in alphas)


def noise_mixing(sizes: Sequence[int]) -> Mixing:
    """The mixing weights that a search starts from (Zero-Cost-PT, section 3): the softmax of small noise.

    A row for each of `sizes`, the numbers of candidates. Drawn from torch's global generator.
    """
    return softmax_mixing([1e-3 * torch.randn(size) for size in sizes])


def remove(mixing: Mixing, choice: int, candidate: int) -> Mixing:
    """A - (e,o): the candidate's weight becomes 0, the others stay as they are."""
    row = list(mixing[choice])
    row[candidate] = 0.0
    return mixing[:choice] + (tuple(row),) + mixing[choice + 1 :]


def decide(mixing: Mixing, choice: int, candidate: int) -> Mixing:
    """Discretise: the row of the choice becomes one-hot."""
    row = tuple(float(index == candidate) for index in range(len(mixing[choice])))
    return mixing[:choice] + (row,) + mixing[choice + 1 :]


def drop(mixing: Mixing, choice: int) -> Mixing:
    """Remove a choice with all its candidates: its row becomes 0."""
    return mixing[:choice] + ((0.0,) * len(mixing[choice]),) + mixing[choice + 1 :]


class Supernet(nn.Module, ABC):
    """A network that holds every candidate of every choice, run under a mixing."""

    choices: tuple[Choice, ...]
    nodes: tuple[Node, ...] = ()

    @abstractmethod
    def forward(self, x: Tensor, mixing: Mixing) -> Tensor:
        """Logits (B x classes) of the images x (B x C x H x W); weight 0 removes a candidate."""

    def new_mixing(self) -> Mixing:
        """The mixing that a discretisation starts from, drawn from torch's global generator."""
        return noise_mixing([len(choice.candidates) for choice in self.choices])

    def runs(self, mixing: Mixing, choice: int) -> bool:
        """Whether a choice can matter: it does not stand in a candidate of weight 0."""
        within = self.choices[choice].within
        while within is not None:
            outer, candidate = within
            if not mixing[outer][candidate]:
                return False
            within = self.choices[outer].within
        return True

    def effective(self, mixing: Mixing) -> Mixing:
        """The mixing with weights that cannot matter set to 0: equal results need one evaluation."""
        return mixing

    def kernels(
        self, x: Tensor, mixings: Sequence[Mixing], new_kernel: Callable[[Tensor], AgreementKernel]
    ) -> list[AgreementKernel]:
        """The NASWOT kernel of each mixing on the images x, in evaluation mode.

        Spaces overrule this with a form of their own that does less work for the same kernel.
        """
        kernels = [new_kernel(x) for _ in mixings]
        for mixing, kernel in zip(mixings, kernels):
            record_by_hooks(Masked(self, mixing), x, kernel)
        return kernels


class Masked(nn.Module):
    """A supernet under one mixing, as a network of its own: A - (e,o) for proxies that take networks."""

    def __init__(self, supernet: Supernet, mixing: Mixing):
        super().__init__()
        self.supernet = supernet
        self.mixing = mixing

    def forward(self, x: Tensor) -> Tensor:
        return self.supernet(x, self.mixing)
