"""What a network does, as the nodes of a graph (torch.fx): its MixedOps are nodes, and so is each layer."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from foresight_ext.choices.mixed import MixedNode, MixedOp, Zero
from foresight_ext.supernets.kernel import RecordedBlock
from foresight_ext.supernets.relus import RELUS

# results of their own memory, which an operation in place may change; others may be views
_FRESH = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm, MixedOp)
# operations in place, and what they are out of place
_OUT_OF_PLACE: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    torch.relu_: torch.relu,
}
_FRESH_FUNCTIONS = (*_OUT_OF_PLACE.values(), torch.add, torch.mul, torch.cat, F.relu, F.relu6)


class Untraceable(Exception):
    """The network's forward pass depends on its data, or changes what others may read."""


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is a node of the graph, and not gone into."""
    if isinstance(module, (MixedOp, Zero, *RELUS)):
        return True
    own = module.__module__.startswith("torch.nn.") and not isinstance(module, nn.Sequential)
    return own and not isinstance(module, RecordedBlock)


def block_read(x: Any) -> None:
    """Stands in a graph where a RecordedBlock reads x."""


def node_sum(edges: Sequence[Any], x: Any) -> Any:
    """Stands in a graph where a MixedNode adds up its edges, of which x is the first's input."""


def traced(module: nn.Module) -> fx.Graph:
    """The graph of a module in evaluation mode, without operations in place; Untraceable if it has none."""
    tracer = _Tracer()
    try:
        graph = tracer.trace(module)
    except Exception as error:  # of any kind: the module's own code runs
        raise Untraceable(str(error)) from error
    for node in graph.nodes:
        _out_of_place(node, module)
    return graph


class _Tracer(fx.Tracer):
    """Goes through modules down to PyTorch's own layers, MixedOps, and what can't be traced."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_leaf(m)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if isinstance(m, MixedNode):
            path = self.path_of_module(m)
            inputs = list(args[0])
            if len(inputs) != len(m.edges):
                raise ValueError("a node has as many inputs as edges")
            edges = [
                self.create_proxy("call_module", f"{path}.edges.{number}", (x,), {})
                for number, x in enumerate(inputs)
            ]
            return self.create_proxy("call_function", node_sum, (edges, inputs[0]), {})
        if isinstance(m, RecordedBlock):
            self.create_proxy("call_function", block_read, (args[0],), {})
        last, stack = next(iter(reversed(self.graph.nodes))), self.module_stack.copy()
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            if any(isinstance(one, MixedOp) for one in m.modules()):
                raise
        self.module_stack = stack
        while (unfinished := next(iter(reversed(self.graph.nodes)))) is not last:
            self.graph.erase_node(unfinished)
        return self.create_proxy("call_module", self.path_of_module(m), args, kwargs)


def _out_of_place(node: fx.Node, root: nn.Module) -> None:
    """Let a node that changes its input return a new tensor; Untraceable if others would see the change."""
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        in_place = bool(getattr(module, "inplace", False))
    elif node.op == "call_function":
        in_place = node.target in _OUT_OF_PLACE or bool(node.kwargs.get("inplace", False))
    elif node.op == "call_method":
        name = str(node.target)
        in_place = name.endswith("_") and not name.endswith("__")
        if in_place and not hasattr(torch.Tensor, name[:-1]):
            raise Untraceable(f"{name} overwrites a tensor")
    else:
        return
    if "out" in node.kwargs:
        raise Untraceable(f"{node.target} writes into a tensor that is given to it")
    if not in_place:
        return
    changed = node.args[0] if node.args else node.kwargs["input"]
    if isinstance(changed, fx.Node) and (len(changed.users) > 1 or not _is_fresh(changed, root)):
        raise Untraceable(f"{node.target} changes a tensor that others may read")
    if node.op == "call_function":
        assert callable(node.target)
        node.target = _OUT_OF_PLACE.get(node.target, node.target)
        node.kwargs = {name: value for name, value in node.kwargs.items() if name != "inplace"}
    elif node.op == "call_method":
        node.target = str(node.target)[:-1]


def _is_fresh(node: fx.Node, root: nn.Module) -> bool:
    """Whether a node's result shares no memory with another's."""
    if node.op == "call_module":
        return isinstance(root.get_submodule(str(node.target)), (*_FRESH, *RELUS))
    return node.op == "call_function" and node.target in _FRESH_FUNCTIONS
