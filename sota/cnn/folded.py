"""DARTS networks in inference form: the NASWOT kernel's exact activations at the least work.

Batch norm is folded into the convolutions; operations of weight 0 are not run; a ReLU, a pooling or a
pattern product that several edges share is computed once; what mixings have in common is computed once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.supernets.folding import Folded, running_statistics
from foresight_ext.supernets.kernel import AgreementKernel
from foresight_ext.supernets.sharing import Activation, Forward, Step, run_shared
from foresight_ext.supernets.supernet import Mixing
from sota.cnn.operations import DilConv, FactorizedReduce, Noise, ReLUConvBN, SepConv, Zero, even
from sota.cnn.skeleton import Cell
from sota.cnn.stems import Stem


class FoldedOperation(ABC):
    """A candidate operation. `reads_relu`: whether it starts with a ReLU, which records its source."""

    reads_relu = True

    @abstractmethod
    def run(self, source: Activation, weight: float, kernel: AgreementKernel) -> Tensor:
        """Weight times the operation's output, in memory of its own; inner ReLUs are recorded."""


class _Separable(FoldedOperation):
    """Separable and dilated convolutions: pairs of a depthwise and a pointwise convolution."""

    def __init__(self, operation: nn.Sequential):
        modules = list(operation)
        self.pairs = [
            (Folded.of(modules[i + 1]), Folded.of(modules[i + 2], modules[i + 3]))
            for i in range(0, len(modules), 4)
        ]

    def run(self, source: Activation, weight: float, kernel: AgreementKernel) -> Tensor:
        *inner, (depthwise, pointwise) = self.pairs
        x = source.relu()
        for first_depthwise, first_pointwise in inner:
            between = Activation(first_pointwise(first_depthwise(x)))
            between.record(kernel, relus=1)
            x = between.value.relu_()
        return pointwise.scaled(weight)(depthwise(x))


class _Reduce(FoldedOperation):
    """The factorised reduction: its two convolutions are one of 2x2 pixels, each reading a corner."""

    def __init__(self, operation: FactorizedReduce):
        first, second = operation.conv_1.weight, operation.conv_2.weight
        kernel = first.new_zeros(len(first) + len(second), first.shape[1], 2, 2)
        kernel[: len(first), :, 0, 0] = first[:, :, 0, 0]
        kernel[len(first) :, :, 1, 1] = second[:, :, 0, 0]
        self.conv = Folded.of_kernel(kernel, operation.bn, stride=2)

    def run(self, source: Activation, weight: float, kernel: AgreementKernel) -> Tensor:
        return self.conv.scaled(weight)(even(source.relu()))


class _Identity(FoldedOperation):
    """skip_connect with stride 1."""

    reads_relu = False

    def run(self, source: Activation, weight: float, kernel: AgreementKernel) -> Tensor:
        return weight * source.value


class _Noise(FoldedOperation):
    """noise, the same for all mixings."""

    reads_relu = False

    def __init__(self, operation: Noise):
        self.operation = operation
        self._noise: Tensor | None = None

    def run(self, source: Activation, weight: float, kernel: AgreementKernel) -> Tensor:
        if self._noise is None:
            self._noise = self.operation(source.value)
        return weight * self._noise


class _Pool(FoldedOperation):
    """Pooling, with the batch norm that the supernet has behind it or without."""

    reads_relu = False

    def __init__(self, pool: nn.Module, bn: nn.BatchNorm2d | None):
        self.pool = pool
        self.key = (type(pool), pool.stride)
        self.conv = None
        if bn is not None:
            mean, variance = running_statistics(bn)
            scale = (variance + bn.eps).rsqrt()
            self.conv = (scale[:, None, None, None], -mean * scale)

    def run(self, source: Activation, weight: float, kernel: AgreementKernel) -> Tensor:
        pooled = source.derived(self.key, self.pool)
        if self.conv is None:
            return weight * pooled
        scale, shift = self.conv  # a depthwise convolution of one pixel
        return F.conv2d(pooled, weight * scale, weight * shift, groups=len(scale))


def _fold(operation: nn.Module) -> FoldedOperation | None:
    """The inference form of an operation; None for `none`."""
    if isinstance(operation, Zero):
        return None
    if isinstance(operation, (SepConv, DilConv)):
        return _Separable(operation)
    if isinstance(operation, FactorizedReduce):
        return _Reduce(operation)
    if isinstance(operation, nn.Identity):
        return _Identity()
    if isinstance(operation, Noise):
        return _Noise(operation)
    if isinstance(operation, nn.Sequential):
        return _Pool(*operation)
    return _Pool(operation, None)


class FoldedCell:
    """A cell: its preprocessing, and `operations[s]` for each slot s, an edge of a node.

    `incoming[n]` are node n's (slot, input) pairs. `slots_of` picks the slots' rows of weights out of a
    mixing: in the supernet a slot is an edge of the cell type, in a stand-alone network an operation.
    """

    def __init__(
        self,
        cell: Cell,
        operations: Iterable[Iterable[nn.Module]],
        incoming: Sequence[Sequence[tuple[int, int]]],
        slots_of: Callable[[Mixing], Mixing],
    ):
        self.older, self.newer = _preprocessing(cell.older), _preprocessing(cell.newer)
        self.older_is_block = isinstance(cell.older, ReLUConvBN)
        self.operations = [[_fold(operation) for operation in slot] for slot in operations]
        self.incoming = incoming
        self.slots_of = slots_of
        self.stride = 2 if cell.reduction else 1

    def read_older(self, state: "_Forward", x: Activation) -> None:
        """Record and preprocess x as the older input, which the cell before this one leaves alone."""
        x.record(state.kernel, relus=1, blocks=int(self.older_is_block))
        state.older = Activation(self.older(x))

    def steps(self, following: "FoldedCell | None") -> "list[Step[_Forward]]":
        nodes = (_NodeStep(self, node) for node in range(len(self.incoming)))
        return [_CellStart(self, following), *nodes, _CellEnd(self)]


def _preprocessing(module: nn.Module) -> Callable[[Activation], Tensor]:
    if isinstance(module, ReLUConvBN):
        conv = Folded.of(module[1], module[2])
        return lambda x: conv(x.relu())
    assert isinstance(module, FactorizedReduce)
    reduce = _Reduce(module)
    return lambda x: reduce.conv(even(x.relu()))


class _Forward(Forward):
    """The output of the cell before (`newer`), and of the one before that, preprocessed (`older`).

    While a cell runs, `states` are its inputs and nodes so far, and `older` is for the cell after it already:
    of the output before, which has four times the channels, nothing is kept (`newer` is None).
    """

    def __init__(
        self, older: Activation, newer: Activation | None, states: list[Activation], kernel: AgreementKernel
    ):
        self.older = older
        self.newer = newer
        self.states = states
        self.kernel = kernel

    def fork(self) -> "_Forward":
        states = [state.copy() for state in self.states]
        newer = self.newer and self.newer.copy()
        return _Forward(self.older.copy(), newer, states, self.kernel.copy())


class _Start(Step[_Forward]):
    """The stem, which finds the images in `newer`."""

    def __init__(self, stem: Stem, first: FoldedCell):
        self.stem = stem
        self.first = first

    def run(self, state: _Forward, mixing: Mixing) -> None:
        assert state.newer is not None
        older, state.newer = self.stem.folded(state.newer.value, state.kernel)
        self.first.read_older(state, older)


class _CellStart(Step[_Forward]):
    """The cell's two inputs, and the older one of the cell that follows."""

    def __init__(self, cell: FoldedCell, following: FoldedCell | None):
        self.cell = cell
        self.following = following

    def run(self, state: _Forward, mixing: Mixing) -> None:
        newer, state.newer = state.newer, None
        assert newer is not None
        newer.record(state.kernel, relus=1, blocks=1)
        state.states = [state.older, Activation(self.cell.newer(newer))]
        if self.following is not None:
            self.following.read_older(state, newer)


class _NodeStep(Step[_Forward]):
    """A node: the weighted sum of its operations."""

    def __init__(self, cell: FoldedCell, node: int):
        self.cell = cell
        self.incoming = cell.incoming[node]
        # ReLUs are cheap enough to be computed anew for each edge, pooling is not
        self.freed = () if node == len(cell.incoming) - 1 else ("relu",)

    def reads(self, mixing: Mixing) -> tuple:
        rows = self.cell.slots_of(mixing)
        return tuple(rows[slot] for slot, _ in self.incoming)

    def run(self, state: _Forward, mixing: Mixing) -> None:
        rows = self.cell.slots_of(mixing)
        total = None
        for slot, source in self.incoming:
            for weight, operation in zip(rows[slot], self.cell.operations[slot]):
                if weight and operation is not None:
                    term = operation.run(state.states[source], weight, state.kernel)
                    total = term if total is None else total.add_(term)
            state.states[source].forget(*self.freed)
        if total is None:
            stride = self.cell.stride
            total = torch.zeros_like(state.states[0].value[:, :, ::stride, ::stride])
        state.states.append(Activation(total))


class _CellEnd(Step[_Forward]):
    """Records what the first ReLUs of the cell's operations read, and passes the cell's output on."""

    def __init__(self, cell: FoldedCell):
        self.cell = cell

    def reads(self, mixing: Mixing) -> Mixing:
        return self.cell.slots_of(mixing)

    def run(self, state: _Forward, mixing: Mixing) -> None:
        rows = self.cell.slots_of(mixing)
        readers = [0] * len(state.states)
        for incoming in self.cell.incoming:
            for slot, source in incoming:
                for weight, operation in zip(rows[slot], self.cell.operations[slot]):
                    readers[source] += bool(weight) and operation is not None and operation.reads_relu
        for activation, relus in zip(state.states, readers):
            activation.record(state.kernel, relus)
        state.newer = Activation.concatenated(state.states[2:])
        state.states = []


class _LastStep(Step[_Forward]):
    """What is left when all cells have run."""

    def run(self, state: _Forward, mixing: Mixing) -> None:
        assert state.newer is not None
        state.kernel.end(state.newer.value)


@torch.no_grad()
def folded_kernels(
    stem: Stem,
    cells: Sequence[FoldedCell],
    x: Tensor,
    mixings: Sequence[Mixing],
    new_kernel: Callable[[Tensor], AgreementKernel],
) -> list[AgreementKernel]:
    """The kernel of a stem and cells under each mixing on the images x (B x 3 x H x W)."""
    images = Activation(x.contiguous(memory_format=torch.channels_last))
    steps: list[Step[_Forward]] = [_Start(stem, cells[0])]
    for cell, following in zip(cells, [*cells[1:], None]):
        steps += cell.steps(following)
    return run_shared([*steps, _LastStep()], mixings, _Forward(images, images, [], new_kernel(x)))
