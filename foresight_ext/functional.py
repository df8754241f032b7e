"""Networks as functions of weights and buffers that are not their own; their modes and hooks are put back."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from foresight_ext.errors import UserError

# the layers whose weights proxies look at
LAYERS = (nn.Conv2d, nn.Linear)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

Weights = dict[str, Tensor]
Kind = TypeVar("Kind", bound=nn.Module)


def own_state(network: nn.Module, change: Callable[[Tensor], Tensor] = lambda value: value) -> Weights:
    """A network's weights, detached, and copies of its buffers, by name; each goes through `change`.

    Weights share the network's memory unless `change` copies them. Whoever asks for gradients of some calls
    requires_grad_() on them: the network's own stay as they are. Tensors that are shared stay shared. Those
    that were made in inference mode have no gradients, and are copied.
    """
    distinct: dict[Tensor, Tensor] = {}
    state: Weights = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if parameter not in distinct:
            value = parameter.detach()
            distinct[parameter] = change(value.clone() if value.is_inference() else value)
        state[name] = distinct[parameter]
    for name, buffer in network.named_buffers(remove_duplicate=False):
        if buffer not in distinct:
            distinct[buffer] = change(buffer.detach().clone())
        state[name] = distinct[buffer]
    return state


def layer_weights(network: nn.Module, state: Weights) -> list[Tensor]:
    """The state's weights of the Conv2d and Linear layers, in module order.

    UserError if there are no such layers, or check_weights says so.
    """
    layers = [name for name, module in network.named_modules() if isinstance(module, LAYERS)]
    if not layers:
        raise UserError("the network has neither a Conv2d nor a Linear layer, whose weights are looked at")
    check_weights(network, LAYERS)
    return [state[f"{name}.weight" if name else "weight"] for name in layers]


def check_weights(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
    """UserError if a module of those kinds has a weight that is no parameter, or one of complex numbers."""
    for name, module in network.named_modules():
        if not isinstance(module, kinds):
            continue
        weight = getattr(module, "weight", None)  # batch norms may have none
        if weight is not None and "weight" not in module._parameters:
            raise UserError(
                f"the weight of the layer '{name}' is made of other parameters (weight norm, pruning or "
                "another parametrisation): remove that first"
            )
        if isinstance(weight, Tensor) and weight.is_complex():
            raise UserError(f"the weight of the layer '{name}' is of complex numbers: they must be real")


class PairNetwork(nn.Module):
    """A network that in training mode returns its logits and an auxiliary head's (None without one)."""


class Chosen(nn.Module):
    """A network whose logits are one of the things that it returns.

    `output` is an index, a key (of a mapping, or an attribute's name) or a function of what it returns.
    """

    def __init__(self, network: nn.Module, output: int | str | Callable[[Any], Tensor]):
        super().__init__()
        self.network = network
        self.output = output
        self.training = network.training

    def forward(self, x: Tensor) -> Tensor:
        returned = self.network(x)
        try:
            if callable(self.output):
                found = self.output(returned)
            elif isinstance(returned, Tensor):  # several things in training mode only
                found = returned
            elif isinstance(self.output, str) and not isinstance(returned, Mapping):
                found = getattr(returned, self.output)
            else:
                found = returned[self.output]
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise UserError(f"output={self.output!r}: the network returned {_described(returned)}") from error
        return only_logits(self, found)


def only_logits(network: nn.Module, returned: Any) -> Tensor:
    """The logits that a network returned; UserError if it is not clear which they are."""
    if isinstance(returned, Tensor):
        return returned
    if isinstance(network, PairNetwork) and isinstance(returned, tuple):
        return only_logits(nn.Identity(), returned[0])
    raise UserError(
        f"the network returned {_described(returned)}: it must return its logits alone; only "
        "find_measures can be told which they are: output= (an index, a key or a function)"
    )


def _described(returned: Any) -> str:
    """What was returned, by kinds and shapes."""
    if isinstance(returned, Tensor):
        return f"a tensor of {' x '.join(map(str, returned.shape)) or 'one number'}"
    if isinstance(returned, Mapping):
        return "a mapping of " + ", ".join(f"{key}: {_described(one)}" for key, one in returned.items())
    if isinstance(returned, (tuple, list)):
        return f"a {type(returned).__name__} of " + ", ".join(map(_described, returned))
    return f"a {type(returned).__name__}"


def logits(network: nn.Module, state: Weights, x: Tensor) -> Tensor:
    """The network's output (B x classes) on its state for images x (B x C x H x W).

    UserError if it returns other things than its logits.
    """
    # the state has all names
    found = only_logits(network, functional_call(network, state, (x,), tie_weights=False))
    if found.dim() == 0 or len(found) != len(x):
        raise UserError(
            f"the network returned {_described(found)} for {len(x)} image{'s' * (len(x) != 1)}: it must "
            "return its logits, a row for each image"
        )
    return found


@contextmanager
def mode(network: nn.Module, training: bool, kinds: Any = nn.Module) -> Iterator[None]:
    """Training or evaluation mode for the network's modules of those kinds."""
    before = [(module, module.training) for module in network.modules() if isinstance(module, kinds)]
    try:
        _set_modes((module, training) for module, _ in before)
        yield
    finally:
        _set_modes(before)


def _set_modes(modes: Iterable[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        if module.training != training:  # setting an attribute of a module is slow, and there are thousands
            module.training = training


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


@contextmanager
def buffers_kept(network: nn.Module) -> Iterator[None]:
    """Put back the network's buffers that change while this is entered, such as one that counts its runs."""
    before = [
        (module, name, value, value._version, value.clone())
        for module in network.modules()
        for name, value in module._buffers.items()
        if value is not None and not value.is_inference()  # nothing changes what inference mode has made
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, value, version, copy in before:
                if value._version != version:
                    value.copy_(copy)
                if module._buffers.get(name) is not value:
                    module._buffers[name] = value


def gradients(
    value: Tensor, weights: list[Tensor], create_graph: bool = False, again: bool = False
) -> list[Tensor]:
    """d value / d weight, of its shape, of a number for each weight; zeros where it does not depend on it.

    `again`: there will be gradients of another number that the same forward pass gave.
    """
    if not value.requires_grad:  # e.g. the network's operations put noise in place of their inputs
        return [torch.zeros_like(weight) for weight in weights]
    keep = create_graph or again
    return list(
        torch.autograd.grad(
            value, weights, retain_graph=keep, create_graph=create_graph, materialize_grads=True
        )
    )


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


def taking_part(network: nn.Module, x: Tensor) -> set[nn.Parameter]:
    """The parameters of modules that run on images x in evaluation mode, and those that operations read.

    The latter belong to modules whose parent uses their weights without calling them, as attention does. No
    gradient is asked, so that it does not matter where the network switches gradients off. In a supernet the
    result depends on its mixing.
    """
    used: set[nn.Parameter] = set()

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        used.update(module.parameters(recurse=False))

    reading = _Reading()
    with (
        torch.no_grad(),
        mode(network, False),
        hooks(network, nn.Module, count),
        attention_in_parts(),
        reading,
    ):
        network(x)
    used.update(one for one in network.parameters() if _place(one) in reading.places)
    return used


class _Reading(TorchDispatchMode):
    """Notes where the tensors lie that operations read."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for argument in (*args, *kwargs.values()):  # tensors, lists of tensors, and other things
            several = argument if isinstance(argument, (list, tuple)) else (argument,)
            self.places.update(_place(one) for one in several if isinstance(one, Tensor))
        return function(*args, **kwargs)


def _place(tensor: Tensor) -> int:
    """Where a tensor's numbers begin, which it shares with its `.data`; the object where there are none."""
    return (tensor.data_ptr() if tensor.layout == torch.strided else 0) or id(tensor)


@contextmanager
def attention_in_parts() -> Iterator[None]:
    """Let attention run as matrix products that are known one by one, not as a single operation."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
