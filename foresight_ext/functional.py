"""Networks as functions of weights and buffers that are not their own; their modes and hooks are put back."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

# the layers whose weights proxies look at
LAYERS = (nn.Conv2d, nn.Linear)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)

Weights = dict[str, Tensor]
Kind = TypeVar("Kind", bound=nn.Module)


def own_state(network: nn.Module, change: Callable[[Tensor], Tensor] = lambda value: value) -> Weights:
    """A network's weights, detached, and copies of its buffers, by name; each goes through `change`.

    Weights share the network's memory unless `change` copies them. Whoever asks for gradients of some calls
    requires_grad_() on them: the network's own stay as they are. Tensors that are shared stay shared.
    """
    distinct: dict[Tensor, Tensor] = {}
    state: Weights = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if parameter not in distinct:
            distinct[parameter] = change(parameter.detach())
        state[name] = distinct[parameter]
    for name, buffer in network.named_buffers(remove_duplicate=False):
        if buffer not in distinct:
            distinct[buffer] = change(buffer.detach().clone())
        state[name] = distinct[buffer]
    return state


def layer_weights(network: nn.Module, state: Weights) -> list[Tensor]:
    """The state's weights of the Conv2d and Linear layers, in module order."""
    layers = [name for name, module in network.named_modules() if isinstance(module, LAYERS)]
    return [state[f"{name}.weight" if name else "weight"] for name in layers]


def logits(network: nn.Module, state: Weights, x: Tensor) -> Tensor:
    """The network's output (B x classes) on its state for images x (B x C x H x W).

    Where a network returns several (DARTS networks in training mode: the auxiliary head's), the first.
    """
    output = functional_call(network, state, (x,), tie_weights=False)  # the state has all names
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def mode(network: nn.Module, training: bool, kinds: Any = nn.Module) -> Iterator[None]:
    """Training or evaluation mode for the network's modules of those kinds."""
    before = [(module, module.training) for module in network.modules() if isinstance(module, kinds)]
    try:
        for module, _ in before:
            module.training = training
        yield
    finally:
        for module, was_training in before:
            module.training = was_training


@contextmanager
def hooks(network: nn.Module, kinds: Any, hook: Callable[..., Any], before: bool = False) -> Iterator[None]:
    """Call hook(module, inputs, output) when a module of those kinds has run, or hook(module, inputs) before.

    What the hook returns replaces the output (or the inputs) unless it is None.
    """
    handles = []
    try:
        for module in network.modules():
            if isinstance(module, kinds):
                register = module.register_forward_pre_hook if before else module.register_forward_hook
                handles.append(register(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def gradients(value: Tensor, weights: list[Tensor], create_graph: bool = False) -> list[Tensor]:
    """d value / d weight, of its shape, of a number for each weight; zeros where it does not depend on it."""
    if not value.requires_grad:  # e.g. the network's operations put noise in place of their inputs
        return [torch.zeros_like(weight) for weight in weights]
    return list(torch.autograd.grad(value, weights, create_graph=create_graph, materialize_grads=True))


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
