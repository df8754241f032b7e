"""Networks with MixedOps in inference form: the NASWOT kernel's exact activations at the least work.

The nodes of the network's graph are the steps of a shared pass. Batch norm is folded into convolutions;
candidates of weight 0 are not run, and others once for all mixings that part at their MixedOp; those that end
in convolutions of one input are one convolution; ReLUs that read one tensor share its product; tensors are
freed behind their last reader.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from foresight_ext.choices.instructions import (
    Args,
    Context,
    Convolution,
    Named,
    Opaque,
    Operation,
    Relu,
    folded_into,
    operation_of,
    plain,
)
from foresight_ext.choices.mixed import MixedOp
from foresight_ext.choices.tracing import Untraceable, node_sum, traced
from foresight_ext.functional import added
from foresight_ext.supernets.folding import Folded
from foresight_ext.supernets.kernel import AgreementKernel
from foresight_ext.supernets.sharing import Activation, Forward, Step, run_shared
from foresight_ext.supernets.supernet import Mixing

# what candidates gave that several mixings run, and what they record, by _Candidate.key
_Shared = dict[Hashable, tuple[Activation, AgreementKernel]]


class Form:
    """The graphs of a network with MixedOps and of their candidates; Untraceable if it has none.

    `numbers` are the choices that the MixedOps belong to.
    """

    def __init__(self, network: nn.Module, numbers: Mapping[nn.Module, int]):
        self.network = network
        self.numbers = numbers
        self.graph = traced(network)
        self.candidates = {
            candidate: _traced_alone(candidate)
            for mixed in numbers
            if isinstance(mixed, MixedOp)
            for candidate in mixed.candidates
        }
        _Program(self, network, self.graph)  # tells what can't be

    @torch.no_grad()
    def kernels(
        self, x: Tensor, mixings: Sequence[Mixing], new_kernel: Callable[[Tensor], AgreementKernel]
    ) -> list[AgreementKernel]:
        """The kernel of each mixing on the images x; the network is in evaluation mode."""
        program = _Program(self, self.network, self.graph)
        layout = torch.channels_last if x.dim() == 4 else torch.contiguous_format
        images = Activation(x.contiguous(memory_format=layout))
        return run_shared(program.steps(), mixings, _State(program.given([images]), new_kernel(x)))


def _traced_alone(candidate: nn.Module) -> tuple[nn.Module, fx.Graph] | None:
    """A candidate in a module of its own, and the graph of that; None if it is to be run as it is."""
    alone = nn.Sequential(candidate)  # what is traced itself is gone into: it may be a layer or a block
    try:
        return alone, traced(alone)
    except Untraceable:
        if any(isinstance(module, MixedOp) for module in candidate.modules()):
            raise
        return None


class _Instruction(NamedTuple):
    """A node with what it does, its arguments, whether it alone reads the first, and what is then freed."""

    node: fx.Node
    operation: Operation
    arguments: tuple[Any, Any]
    last: bool
    frees: tuple[fx.Node, ...]

    def run(self, state: "_State", mixing: Mixing, shared: _Shared | None = None) -> None:
        args, named = state.read(self.arguments)
        context = Context(state.kernel, mixing, self.last)
        if isinstance(self.operation, _Mixed):
            state.env[self.node] = self.operation.sum(args, named, context, shared or {})
        else:
            state.env[self.node] = self.operation.run(args, named, context)
        for one in self.frees:
            del state.env[one]


class _Program:
    """A module's graph as instructions, its convolutions folded."""

    def __init__(self, form: Form, module: nn.Module, graph: fx.Graph):
        self.inputs: list[fx.Node] = []
        self.output: Any = None
        modules = dict(module.named_modules(remove_duplicate=False))
        steps: list[tuple[fx.Node, Operation, tuple[Any, Any]]] = []
        for node in graph.nodes:
            if node.op == "placeholder":
                self.inputs.append(node)
            elif node.op == "output":
                [self.output] = node.args
            elif folded_into(node, modules) is None:
                operation = _mixed_of(form, node, modules) or operation_of(node, modules, module)
                source = node.args[0] if isinstance(operation, Convolution) else None
                folded = isinstance(source, fx.Node) and folded_into(source, modules) is node
                read = source if folded else node
                assert isinstance(read, fx.Node)
                steps.append((node, operation, (read.args, read.kwargs)))
        self.instructions = list(self._with_ends(steps))

    def _with_ends(
        self, steps: Sequence[tuple[fx.Node, Operation, tuple[Any, Any]]]
    ) -> Iterator[_Instruction]:
        """The instructions; what they read is freed where nothing behind them does."""
        readers = Counter(_nodes(self.output))
        for _, _, arguments in steps:
            readers.update(_nodes(arguments))
        left = Counter(readers)
        for node, operation, arguments in steps:
            read = _nodes(arguments)
            left.subtract(read)
            frees = [one for one in dict.fromkeys((*read, node)) if not left[one]]
            first = _nodes(arguments[0][:1])[:1]
            last = bool(first) and readers[first[0]] == 1
            yield _Instruction(node, operation, arguments, last, tuple(frees))

    def given(self, inputs: Sequence[Any]) -> dict[fx.Node, Any]:
        """The inputs by their nodes; defaults where there are fewer."""
        few = [node.args[0] for node in self.inputs[len(inputs) :]]
        return dict(zip(self.inputs, [*inputs, *few]))

    def run(self, inputs: Sequence[Any], context: Context) -> Any:
        """What the module returns, tensors as Activations."""
        state = _State(self.given(inputs), context.kernel)
        for instruction in self.instructions:
            instruction.run(state, context.mixing)
        return state.read(self.output)

    def steps(self) -> list[Step["_State"]]:
        """The steps of a shared pass: mixings part at MixedOps only."""
        found: list[Step[_State]] = []
        between: list[_Instruction] = []
        for one in self.instructions:
            if isinstance(one.operation, _Mixed):
                found += [_Between(between), _AtMixed(one, one.operation)]
                between = []
            else:
                between.append(one)
        return [*found, _Between(between), _End(self.output)]


def _mixed_of(form: Form, node: fx.Node, modules: Mapping[str, nn.Module]) -> Operation | None:
    """What a node does that is a MixedOp, or a MixedNode's sum."""
    if node.target is node_sum:
        edges = node.args[0]
        assert isinstance(edges, list)
        first = modules[str(edges[0].target)]
        assert isinstance(first, MixedOp)
        return _NodeSum(first)
    module = modules[str(node.target)] if node.op == "call_module" else None
    if not isinstance(module, MixedOp):
        return None
    found = _Mixed(form, module, optional=all(user.target is node_sum for user in node.users))
    if found.inner and (len(node.args) != 1 or node.kwargs):
        raise Untraceable("a MixedOp with others in it is called with several inputs")
    return found


class _Candidate:
    """A candidate of a MixedOp. `convolution` is what it ends in, if that is all besides a ReLU before it."""

    def __init__(self, form: Form, module: nn.Module):
        self.opaque = Opaque(module)
        found = form.candidates[module]
        self.program = None if found is None else _Program(form, *found)
        inner = (form.numbers[one] for one in module.modules() if isinstance(one, MixedOp))
        self.inner = tuple(dict.fromkeys(inner))
        self.relu: Relu | None = None
        self.convolution: Folded | None = None
        if self.program is not None:
            match [one.operation for one in self.program.instructions]:
                case [Convolution() as end]:
                    self.convolution = end.folded
                case [Relu() as relu, Convolution() as end]:
                    self.relu, self.convolution = relu, end.folded
        self._sizes: dict[Hashable, int] = {}

    def key(self, number: int, mixing: Mixing) -> Hashable:
        """What its result depends on, besides the input."""
        return (number, *(mixing[inner] for inner in self.inner))

    def run(self, args: Args, named: Named, context: Context) -> Activation:
        if self.program is None or len(args) != 1 or named:
            return self.opaque.run(args, named, context)
        return self.program.run(args, context)

    def size_of_zeros(self, args: Args, named: Named, context: Context) -> int:
        """How many numbers an image it records where its inputs are zeros: all images agree on them."""
        key = tuple(one.value.shape[1:] for one in args)
        if key not in self._sizes:
            zeros = tuple(Activation(torch.zeros_like(one.value[:1])) for one in args)
            kernel = AgreementKernel(zeros[0].value, context.kernel.count_blocks)
            self.run(zeros, named, Context(kernel, context.mixing, last=False))
            self._sizes[key] = kernel.size
        return self._sizes[key]

    def family(self) -> Hashable:
        """Candidates of one family are one convolution when they are added up."""
        conv = self.convolution
        if conv is None:
            return self
        same_size = all(k - 1 == 2 * p for k, p in zip(conv.kernel.shape[2:], conv.padding))
        if not same_size or max(conv.dilation) > 1:
            return self
        relu = None if self.relu is None else self.relu.six
        return (relu, conv.stride, conv.groups, conv.kernel.shape[:2])


class _Mixed(Operation):
    """A MixedOp: the weighted sum of its candidates. `optional`: nothing, in place of zeros, if none runs."""

    def __init__(self, form: Form, mixed: MixedOp, optional: bool):
        self.mixed = mixed
        self.optional = optional
        self.number = form.numbers[mixed]
        self.candidates = [_Candidate(form, one) for one in mixed.candidates]
        self.inner = tuple(dict.fromkeys(number for one in self.candidates for number in one.inner))
        self._merged: dict[Hashable, Folded] = {}

    def reads(self, mixing: Mixing) -> Hashable:
        return (mixing[self.number], *(mixing[number] for number in self.inner))

    def share(self, args: Args, named: Named, kernel: AgreementKernel, mixings: Sequence[Mixing]) -> _Shared:
        """The results of candidates that several of the mixings run."""
        runs: dict[Hashable, list[tuple[int, Mixing]]] = {}
        for mixing in mixings:
            for number, weight in enumerate(mixing[self.number]):
                if weight:
                    runs.setdefault(self.candidates[number].key(number, mixing), []).append((number, mixing))
        found: _Shared = {}
        for key, several in runs.items():
            if len(several) > 1:
                number, mixing = several[0]
                alone = kernel.empty()
                result = self._one(number, args, named, Context(alone, mixing, last=False))
                result.owned = False
                found[key] = result, alone
        return found

    def run(self, args: Args, named: Named, context: Context) -> Activation | None:
        return self.sum(args, named, context, {})

    def sum(self, args: Args, named: Named, context: Context, shared: _Shared) -> Activation | None:
        """The sum under the context's mixing; candidates that are shared are not run again."""
        row = context.mixing[self.number]
        terms: list[tuple[float, Activation]] = []
        families: dict[Hashable, list[int]] = {}
        for number, (weight, candidate) in enumerate(zip(row, self.candidates)):
            known = shared.get(candidate.key(number, context.mixing)) if weight else None
            if known is not None:
                context.kernel.include(known[1])
                terms.append((weight, known[0]))
            elif weight:
                families.setdefault(candidate.family(), []).append(number)
            elif self.mixed.removed_see_zeros:
                context.kernel.add_zeros(candidate.size_of_zeros(args, named, context), relus=1)
        for numbers in families.values():
            if self.candidates[numbers[0]].convolution is not None and len(args) == 1 and not named:
                terms.append((1.0, self._convolved(numbers, row, args, context)))
            else:
                terms.append((row[numbers[0]], self._one(numbers[0], args, named, context)))
        if not terms:
            return None if self.optional else Activation(self.mixed.nothing(plain(args), plain(named)))
        return _weighted(terms)

    def _one(self, number: int, args: Args, named: Named, context: Context) -> Activation:
        for one in args:
            if isinstance(one, Activation):
                one.owned = False  # other candidates read it as well
        return self.candidates[number].run(args, named, context)

    def _convolved(
        self, numbers: Sequence[int], row: tuple[float, ...], args: Args, context: Context
    ) -> Activation:
        """The weighted sum of candidates of one family, in one convolution."""
        [x], relu = args, self.candidates[numbers[0]].relu
        if relu is not None:
            x.record(context.kernel, relus=len(numbers))
        key = tuple((number, row[number]) for number in numbers)
        if key not in self._merged:
            parts = [self.candidates[number].convolution for number in numbers]
            self._merged[key] = _sum_of([(w, one) for (_, w), one in zip(key, parts) if one is not None])
        return Activation(self._merged[key](x.value if relu is None else relu.of(x)), owned=True)


def _sum_of(parts: Sequence[tuple[float, Folded]]) -> Folded:
    """Convolutions of one stride that keep the size, weighted and added up to one."""
    if len(parts) == 1:
        [(weight, conv)] = parts
        return conv.scaled(weight)
    rows, columns = (max(conv.kernel.shape[axis] for _, conv in parts) for axis in (2, 3))
    kernels, biases = [], []
    for weight, conv in parts:
        height, width = ((most - size) // 2 for most, size in zip((rows, columns), conv.kernel.shape[2:]))
        kernels.append(weight * F.pad(conv.kernel, [width, width, height, height]))
        if conv.bias is not None:
            biases.append(weight * conv.bias)
    first = parts[0][1]
    padding = (rows // 2, columns // 2)
    return first._replace(kernel=added(kernels), bias=added(biases) if biases else None, padding=padding)


def _weighted(terms: Sequence[tuple[float, Activation]]) -> Activation:
    """The weighted sum of results, in memory of its own unless it is one of them."""
    (weight, first), *others = sorted(terms, key=lambda term: not term[1].owned)
    if not others and weight == 1:
        return first
    total = first.value
    if weight != 1 or not first.owned:
        total = total.mul_(weight) if first.owned else weight * total
    for weight, term in others:
        if term.value.shape == total.shape:
            total.add_(term.value, alpha=weight)
        else:
            total = total + weight * term.value
    return Activation(total, owned=True)


class _NodeSum(Operation):
    """A MixedNode: the sum of the edges that run (the others are None)."""

    def __init__(self, first: MixedOp):
        self.first = first

    def run(self, args: Args, named: Named, context: Context) -> Activation:
        edges, x = args
        terms = [(1.0, edge) for edge in edges if edge is not None]
        return _weighted(terms) if terms else Activation(self.first.nothing((x.value,), {}))


class _State(Forward):
    """What the graph's nodes gave that is still to be read. `shared` is for the MixedOp that comes next."""

    def __init__(self, env: dict[fx.Node, Any], kernel: AgreementKernel, shared: _Shared | None = None):
        self.env = env
        self.kernel = kernel
        self.shared = shared

    def fork(self) -> "_State":
        copies: dict[Activation, Activation] = {}  # one may be what several nodes gave

        def copied(value: Any) -> Any:
            if not isinstance(value, Activation):
                return value
            if value not in copies:
                copies[value] = value.copy()
            return copies[value]

        env = {node: fx.node.map_aggregate(value, copied) for node, value in self.env.items()}
        return _State(env, self.kernel.copy(), self.shared)

    def read(self, arguments: Any) -> Any:
        """Arguments, with what their nodes gave."""
        return fx.node.map_arg(arguments, self.env.__getitem__)


class _Between(Step[_State]):
    """Instructions that do not depend on the mixing."""

    def __init__(self, instructions: Sequence[_Instruction]):
        self.instructions = instructions

    def run(self, state: _State, mixing: Mixing) -> None:
        for instruction in self.instructions:
            instruction.run(state, mixing)


class _AtMixed(Step[_State]):
    """A MixedOp, where mixings may part."""

    def __init__(self, instruction: _Instruction, mixed: _Mixed):
        self.instruction = instruction
        self.mixed = mixed

    def reads(self, mixing: Mixing) -> Hashable:
        return self.mixed.reads(mixing)

    def share(self, state: _State, mixings: Sequence[Mixing]) -> None:
        if state.shared is None:
            args, named = state.read(self.instruction.arguments)
            state.shared = self.mixed.share(args, named, state.kernel, mixings)

    def run(self, state: _State, mixing: Mixing) -> None:
        shared, state.shared = state.shared, None
        self.instruction.run(state, mixing, shared)


class _End(Step[_State]):
    """What the network returns."""

    def __init__(self, output: Any):
        self.output = output

    def run(self, state: _State, mixing: Mixing) -> None:
        result = plain(state.read(self.output))
        if isinstance(result, Tensor):
            state.kernel.end(result)


def _nodes(arguments: Any) -> list[fx.Node]:
    """The distinct nodes in arguments."""
    found: list[fx.Node] = []
    fx.node.map_arg(arguments, found.append)
    return list(dict.fromkeys(found))
