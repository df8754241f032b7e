"""Many mixings of one supernet on one minibatch, with what they have in common computed once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from foresight_ext.functional import added
from foresight_ext.supernets.kernel import AgreementKernel, pattern_product
from foresight_ext.supernets.supernet import Mixing

State = TypeVar("State", bound="Forward")


class Activation:
    """A tensor (B x C x H x W) with what its readers derive from it, each computed once.

    Copies share the tensor and its pattern product, which is small; what else they derive is their own, and
    is freed with them. `owned`: nothing else holds the tensor, so that its one reader may change it.
    """

    def __init__(self, value: Tensor, owned: bool = False):
        self.value = value
        self.owned = owned
        self._derived: dict[Hashable, Tensor] = {}
        self._product: list[Tensor] = []  # of all copies: of one tensor, once it is known

    def copy(self) -> "Activation":
        self.owned = False
        copy = Activation(self.value)
        copy._product = self._product
        return copy

    @classmethod
    def concatenated(cls, parts: Sequence["Activation"]) -> "Activation":
        """The parts side by side in their channels; their pattern products add up."""
        product = added(part.product() for part in parts)
        whole = cls(torch.cat([part.value for part in parts], dim=1))
        whole._product.append(product)
        return whole

    def derived(self, key: Hashable, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """compute(value), kept under that key."""
        if key not in self._derived:
            self._derived[key] = compute(self.value)
        return self._derived[key]

    def forget(self, *keys: Hashable) -> None:
        """Free what was derived under these keys, or under all where none is given."""
        for key in keys or tuple(self._derived):
            self._derived.pop(key, None)

    def relu(self) -> Tensor:
        return self.derived("relu", torch.relu)

    def relu6(self) -> Tensor:
        return self.derived("relu6", F.relu6)

    def product(self) -> Tensor:
        if not self._product:
            self._product.append(pattern_product(self.value))
        return self._product[0]

    def record(self, kernel: AgreementKernel, relus: int, blocks: int = 0) -> None:
        """Record the tensor as the input of so many ReLUs and blocks."""
        if kernel.times(relus, blocks):
            kernel.add_product(self.product(), self.value[0].numel(), relus, blocks)


class Forward(ABC):
    """What a forward pass holds between two steps, and the kernel it has recorded so far."""

    kernel: AgreementKernel

    @abstractmethod
    def fork(self: State) -> State:
        """A copy that goes on independently; tensors are shared and must not be changed in place.

        Its activations are copies too: what a branch derives is freed when the branch is done.
        """


class Step(ABC, Generic[State]):
    """A step of a forward pass in inference form, whose state is of its own kind."""

    def reads(self, mixing: Mixing) -> Hashable:
        """The part of the mixing that the step depends on."""
        return None

    def share(self, state: State, mixings: Sequence[Mixing]) -> None:  # noqa: B027 (most have nothing to)
        """Compute what several of these mixings need, of which no two read the same, before they part."""

    @abstractmethod
    def run(self, state: State, mixing: Mixing) -> None:
        """Take the step, changing the state."""


@torch.no_grad()
def run_shared(
    steps: Sequence[Step[State]], mixings: Sequence[Mixing], state: State
) -> list[AgreementKernel]:
    """The kernel of each mixing. A step is taken once for all mixings that agree up to it."""
    kernels: list[AgreementKernel] = [state.kernel] * len(mixings)
    # (step to take next, mixings that agree so far, what they share)
    waiting = [(0, list(range(len(mixings))), state.fork())]
    while waiting:
        index, group, state = waiting.pop()
        while index < len(steps):
            readers: dict[Hashable, list[int]] = {}
            for number in group:
                readers.setdefault(steps[index].reads(mixings[number]), []).append(number)
            first, *others = readers.values()
            if others:
                steps[index].share(state, [mixings[numbers[0]] for numbers in readers.values()])
                # the rest waits with tensors that nothing was derived from
                rest = [number for number in group if number not in first]
                waiting.append((index, rest, state.fork()))
                state, group = state.fork(), first
            steps[index].run(state, mixings[group[0]])
            index += 1
        for number in group:
            kernels[number] = state.kernel
    return kernels
