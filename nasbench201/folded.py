"""NAS-Bench-201 networks in inference form: the kernel's exact activations at the least work.

Batch norm is folded into the convolutions; the 1x1 and 3x3 convolutions of an edge are one kernel;
operations of weight 0 are not run; what a node's readers record is one product with a multiplicity;
images lie channels-last in memory; what mixings have in common is computed once.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.functional import added, of_kind
from foresight_ext.supernets.folding import Folded
from foresight_ext.supernets.kernel import AgreementKernel
from foresight_ext.supernets.pooling import average_pool
from foresight_ext.supernets.sharing import Activation, Forward, Step, run_shared
from foresight_ext.supernets.supernet import Mixing
from nasbench201.genotype import EDGES, INCOMING, OPERATIONS
from nasbench201.operations import ReLUConvBN, ResidualBlock
from nasbench201.skeleton import Cell, Skeleton

_SKIP = OPERATIONS.index("skip_connect")
_POOL = OPERATIONS.index("avg_pool_3x3")
# kernel size -> operation
_CONVS = {1: OPERATIONS.index("nor_conv_1x1"), 3: OPERATIONS.index("nor_conv_3x3")}


class FoldedCell:
    """The convolutions of a cell, folded: `convs[e]` maps an operation's index to its convolution."""

    def __init__(self, cell: Cell):
        self.convs: list[dict[int, Folded]] = []
        for operations in of_kind(nn.ModuleList, cell.edges):
            blocks = [operation for operation in operations if isinstance(operation, ReLUConvBN)]
            self.convs.append(
                {_CONVS[block.conv.kernel_size[0]]: Folded.of(block.conv, block.bn) for block in blocks}
            )
        self._mixed: dict[tuple[int, tuple[float, ...]], Folded | None] = {}

    def mixed(self, edge: int, row: tuple[float, ...]) -> Folded | None:
        """The edge's convolutions, weighted and added up to one; None if all weights are 0."""
        key = (edge, row)
        if key not in self._mixed:
            self._mixed[key] = self._mix(self.convs[edge], row)
        return self._mixed[key]

    @staticmethod
    def _mix(convs: dict[int, Folded], row: tuple[float, ...]) -> Folded | None:
        parts = [(row[index], conv) for index, conv in convs.items() if row[index]]
        if not parts:
            return None
        size = max(conv.kernel.shape[-1] for _, conv in parts)
        kernel = added(w * F.pad(conv.kernel, [(size - conv.kernel.shape[-1]) // 2] * 4) for w, conv in parts)
        bias = added(w * conv.bias for w, conv in parts if conv.bias is not None)  # each has its batch norm's
        return Folded(kernel, bias, (1, 1), (size // 2,) * 2)


class _Forward(Forward):
    """The cell's nodes so far (None: no input reaches the node, it is zero); node 0 is the cell's input."""

    def __init__(self, nodes: list[Activation | None], kernel: AgreementKernel):
        self.nodes = nodes
        self.kernel = kernel

    @property
    def entry(self) -> Activation:
        """The cell's input."""
        node = self.nodes[0]
        assert node is not None
        return node

    def fork(self) -> "_Forward":
        # a node that only copies another stays the same activation
        copies = {node: node.copy() for node in self.nodes if node is not None}
        return _Forward([node and copies[node] for node in self.nodes], self.kernel.copy())


class _NodeStep(Step[_Forward]):
    """Computes a node of a cell."""

    def __init__(self, cell: FoldedCell, node: int):
        self.cell = cell
        self.incoming = INCOMING[node]

    def reads(self, mixing: Mixing) -> tuple:
        return tuple(mixing[edge] for edge, _ in self.incoming)

    def run(self, state: _Forward, mixing: Mixing) -> None:
        convolved, skipped, pooled = [], [], []
        for edge, source in self.incoming:
            row, node = mixing[edge], state.nodes[source]
            conv = self.cell.mixed(edge, row)
            if node is None:
                if conv is not None and conv.bias is not None:
                    like = state.entry.value
                    convolved.append(conv.bias[:, None, None].expand_as(like).contiguous())
                continue
            if conv is not None:
                convolved.append(conv(node.relu()))
            if row[_SKIP]:
                skipped.append((row[_SKIP], node))
            if row[_POOL]:
                pooled.append((row[_POOL], node.value))
        state.nodes.append(_sum(convolved, skipped, pooled))


class _CellEnd(Step[_Forward]):
    """Records what the blocks on a cell's edges read, and passes the last node on."""

    def __init__(self, cell: FoldedCell):
        self.cell = cell

    def reads(self, mixing: Mixing) -> Mixing:
        return mixing

    def run(self, state: _Forward, mixing: Mixing) -> None:
        like = state.entry.value
        size = like[0].numel()
        counts: dict[Activation, list[int]] = {}  # a node that only copies another is counted with it
        for edge, (_, source) in enumerate(EDGES):
            node = state.nodes[source]
            for operation in self.cell.convs[edge]:
                alive = mixing[edge][operation] != 0
                if node is None:
                    state.kernel.add_zeros(size, relus=1, blocks=1)
                    continue
                count = counts.setdefault(node, [0, 0])
                count[0] += alive
                count[1] += 1
                if not alive:  # the removed block records its input, its inner ReLU reads zeros
                    state.kernel.add_zeros(size, relus=1)
        for node, (relus, blocks) in counts.items():
            node.record(state.kernel, relus, blocks)
        state.nodes = [state.nodes[3] or Activation(torch.zeros_like(like))]


class _ResidualStep(Step[_Forward]):
    """A residual block."""

    def __init__(self, block: ResidualBlock):
        self.conv_a = Folded.of(block.conv_a.conv, block.conv_a.bn)
        self.conv_b = Folded.of(block.conv_b.conv, block.conv_b.bn)
        self.shortcut = block.shortcut

    def run(self, state: _Forward, mixing: Mixing) -> None:
        x = state.entry
        x.record(state.kernel, relus=1, blocks=1)
        inner = Activation(self.conv_a(x.relu()))
        inner.record(state.kernel, relus=1, blocks=1)
        state.nodes = [Activation(self.conv_b(inner.relu()).add_(self.shortcut(x.value)))]


class _LastStep(Step[_Forward]):
    """The batch norm and ReLU behind the last cell."""

    def __init__(self, bn: nn.BatchNorm2d):
        self.bn = bn

    def run(self, state: _Forward, mixing: Mixing) -> None:
        bn = self.bn
        x = F.batch_norm(state.entry.value, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
        state.kernel.add(x, relus=1)
        state.kernel.end(x)


@torch.no_grad()
def folded_kernels(
    skeleton: Skeleton, x: Tensor, mixings: Sequence[Mixing], new_kernel: Callable[[Tensor], AgreementKernel]
) -> list[AgreementKernel]:
    """The kernel of a skeleton's cells under each mixing on the images x (B x C x H x W)."""
    steps: list[Step[_Forward]] = []
    for cell in skeleton.cells:
        if isinstance(cell, ResidualBlock):
            steps.append(_ResidualStep(cell))
        else:
            assert isinstance(cell, Cell)
            folded = FoldedCell(cell)
            steps += [*(_NodeStep(folded, node) for node in INCOMING), _CellEnd(folded)]
    bn = skeleton.last[0]
    assert isinstance(bn, nn.BatchNorm2d)
    steps.append(_LastStep(bn))
    stem = Folded.of(*skeleton.stem)(x.contiguous(memory_format=torch.channels_last))
    return run_shared(steps, mixings, _Forward([Activation(stem)], new_kernel(x)))


def _sum(
    convolved: list[Tensor],
    skipped: list[tuple[float, Activation]],
    pooled: list[tuple[float, Tensor]],
) -> Activation | None:
    """A node: convolutions, plus weighted copies, plus the average pooling of a weighted sum."""
    total = _average_pool(pooled) if pooled else None
    for term in convolved:
        total = term if total is None else total.add_(term)
    if total is None and len(skipped) == 1 and skipped[0][0] == 1:
        return skipped[0][1]  # a copy: the same activation
    for weight, node in skipped:
        total = weight * node.value if total is None else total.add_(node.value, alpha=weight)
    return None if total is None else Activation(total)


def _average_pool(terms: list[tuple[float, Tensor]]) -> Tensor:
    """3x3 average pooling of the weighted sum of tensors, stride 1."""
    (largest, x), *others = sorted(terms, key=lambda term: -term[0])
    for index, (weight, value) in enumerate(others):
        share = weight / largest
        x = x.add_(value, alpha=share) if index else torch.add(x, value, alpha=share)
    return average_pool(x, largest)
