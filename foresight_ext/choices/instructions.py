"""What the nodes of a network's graph do in inference form, MixedOps aside."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from foresight_ext.choices.tracing import block_read
from foresight_ext.supernets.folding import Folded, why_unfoldable
from foresight_ext.supernets.kernel import AgreementKernel, recorded
from foresight_ext.supernets.pooling import average_pool, is_average_pool
from foresight_ext.supernets.relus import RELUS
from foresight_ext.supernets.sharing import Activation
from foresight_ext.supernets.supernet import Mixing

# layers without weights, whose result the readers of one tensor share
_POOLS = (nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d)
# what evaluation mode leaves as it is
_SAME = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
# layers whose result is a tensor of its own
_OWNED = (nn.Conv1d, nn.Conv2d, nn.Linear, _BatchNorm, nn.LayerNorm, nn.GroupNorm)

Args = tuple[Any, ...]
Named = dict[str, Any]


class Context(NamedTuple):
    """What an operation may need besides its arguments.

    `last`: whether it is the only one that reads its first argument.
    """

    kernel: AgreementKernel
    mixing: Mixing
    last: bool


class Operation(ABC):
    """What a node of a graph does. Tensors come and go as Activations."""

    @abstractmethod
    def run(self, args: Args, named: Named, context: Context) -> Any:
        """The node's result. What ReLUs and blocks read is recorded."""


class Relu(Operation):
    """A ReLU or ReLU6."""

    def __init__(self, six: bool):
        self.six = six

    def run(self, args: Args, named: Named, context: Context) -> Activation:
        x = args[0] if args else named["input"]
        x.record(context.kernel, relus=1)
        if context.last and x.owned:
            return Activation(x.value.clamp_(0, 6) if self.six else x.value.relu_(), owned=True)
        return Activation(self.of(x))

    def of(self, x: Activation) -> Tensor:
        return x.relu6() if self.six else x.relu()


class Convolution(Operation):
    """A convolution, with the batch norm behind it."""

    def __init__(self, folded: Folded):
        self.folded = folded

    def run(self, args: Args, named: Named, context: Context) -> Activation:
        return Activation(self.folded(args[0].value), owned=True)


class _Block(Operation):
    """A RecordedBlock begins."""

    def run(self, args: Args, named: Named, context: Context) -> None:
        args[0].record(context.kernel, relus=0, blocks=1)


class _Pool(Operation):
    def __init__(self, pool: nn.Module):
        self.pool = average_pool if is_average_pool(pool) else pool
        self.key = (type(pool), pool.extra_repr())

    def run(self, args: Args, named: Named, context: Context) -> Activation:
        return Activation(args[0].derived(self.key, self.pool))


class _Same(Operation):
    def run(self, args: Args, named: Named, context: Context) -> Any:
        return _read_twice(args[0])


class _Add(Operation):
    def run(self, args: Args, named: Named, context: Context) -> Any:
        a, b = args
        if isinstance(a, int) and a == 0:  # as sum() begins
            return _read_twice(b)
        both = isinstance(a, Activation) and isinstance(b, Activation) and a is not b
        if both and context.last and a.owned and a.value.shape == b.value.shape:
            return Activation(a.value.add_(b.value), owned=True)
        return wrapped(plain(a) + plain(b), owned=True)


class _Call(Operation):
    """Any other function or method of tensors, or a layer."""

    def __init__(self, function: Callable[..., Any], owned: bool = False):
        self.function = function
        self.owned = owned

    def run(self, args: Args, named: Named, context: Context) -> Any:
        return wrapped(self.function(*plain(args), **plain(named)), self.owned)


class Opaque(Operation):
    """A module that is run as it is, on inputs as it would find them, while its ReLUs are watched."""

    def __init__(self, module: nn.Module):
        self.module = module

    def run(self, args: Args, named: Named, context: Context) -> Any:
        args, named = _each(_in_order, plain((args, named)))
        with recorded(self.module, context.kernel):
            return wrapped(_each(_channels_last, self.module(*args, **named)))


class _Method(Operation):
    """A method of a tensor."""

    def __init__(self, name: str):
        # a view of channels that lie last in memory may need a copy
        self.name = "reshape" if name == "view" else name

    def run(self, args: Args, named: Named, context: Context) -> Any:
        of, *others = plain(args)
        return wrapped(getattr(of, self.name)(*others, **plain(named)))


class _Attribute(Operation):
    """A parameter or buffer, as it is when the node runs."""

    def __init__(self, root: nn.Module, name: str):
        self.get = operator.attrgetter(name)
        self.root = root

    def run(self, args: Args, named: Named, context: Context) -> Any:
        return wrapped(self.get(self.root))


def operation_of(node: fx.Node, modules: Mapping[str, nn.Module], root: nn.Module) -> Operation:
    """What a node of root's graph does; `modules` are root's by their names."""
    function = node.target
    if node.op == "call_module":
        return _of_module(node, modules)
    if node.op == "get_attr":
        return _Attribute(root, str(function))
    if node.op == "call_method":
        return Relu(six=False) if function == "relu" else _Method(str(function))
    if function is block_read:
        return _Block()
    if function in (torch.relu, F.relu, F.relu6):
        return Relu(six=function is F.relu6)
    if function in (torch.add, operator.add) and len(node.args) == 2 and not node.kwargs:
        return _Add()
    assert callable(function)
    return _Call(function)


def folded_into(node: fx.Node, modules: Mapping[str, nn.Module]) -> fx.Node | None:
    """The batch norm that a node, a convolution, is folded into: the only one that reads it."""
    following = next(iter(node.users), None)
    if node.op != "call_module" or len(node.users) != 1 or following is None:
        return None
    if following.op != "call_module" or not isinstance(modules[str(following.target)], _BatchNorm):
        return None
    return following if _folds(node, following, modules) else None


def _of_module(node: fx.Node, modules: Mapping[str, nn.Module]) -> Operation:
    module = modules[str(node.target)]
    before = node.args[0] if node.args else None
    if isinstance(module, RELUS):
        return Relu(isinstance(module, nn.ReLU6))
    if isinstance(before, fx.Node) and folded_into(before, modules) is node:
        return Convolution(Folded.of(modules[str(before.target)], module))
    if _folds(node, None, modules):
        return Convolution(Folded.of(module))
    if _has_hooks(module) or any(True for _ in module.children()):
        return Opaque(module)
    if type(module) in _POOLS:
        return _Pool(module)
    if type(module) in _SAME:
        return _Same()
    if getattr(module, "inplace", False):
        return _Call(lambda x: module(x.clone()), owned=True)
    if module.__module__.startswith("torch.nn."):
        return _Call(module, owned=isinstance(module, _OWNED))
    return Opaque(module)


def _folds(node: fx.Node, following: fx.Node | None, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a node is a convolution that can be folded, with the batch norm that follows."""
    conv = modules[str(node.target)] if node.op == "call_module" else None
    bn = None if following is None else modules[str(following.target)]
    if not isinstance(conv, nn.Conv2d) or _has_hooks(conv) or (bn is not None and _has_hooks(bn)):
        return False
    return why_unfoldable(conv, bn) is None


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def plain(value: Any) -> Any:
    """A value, or several in tuples, lists, mappings and slices, with tensors in place of Activations."""
    return _each(lambda one: one.value if isinstance(one, Activation) else one, value)


def wrapped(value: Any, owned: bool = False) -> Any:
    """A value, or several in a tuple or list, with Activations in place of tensors."""
    if type(value) in (tuple, list):
        return type(value)(wrapped(one) for one in value)
    return Activation(value, owned) if isinstance(value, Tensor) else value


def _each(function: Callable[[Any], Any], value: Any) -> Any:
    return fx.node.map_aggregate(value, function)


def _read_twice(value: Any) -> Any:
    """A value that is the result of two nodes."""
    if isinstance(value, Activation):
        value.owned = False
    return value


def _in_order(value: Any) -> Any:
    """A tensor whose numbers lie as usual in memory: what is run as it is may rely on that."""
    return value.contiguous() if isinstance(value, Tensor) else value


def _channels_last(value: Any) -> Any:
    """Images as convolutions behind them take them fastest."""
    images = isinstance(value, Tensor) and value.dim() == 4
    return value.contiguous(memory_format=torch.channels_last) if images else value
