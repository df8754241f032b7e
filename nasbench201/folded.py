"""NAS-Bench-201 networks in inference form: the kernel's exact activations at the least work.

Batch norm is folded into the convolutions; the 1x1 and 3x3 convolutions of an edge are one kernel;
operations of weight 0 are not run; what a node's readers record is one product with a multiplicity;
images lie channels-last in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from foresight_ext.kernel import AgreementKernel
from foresight_ext.supernet import Mixing
from nasbench201.genotype import EDGES, INCOMING, OPERATIONS
from nasbench201.operations import ReLUConvBN, ResidualBlock
from nasbench201.skeleton import Skeleton

_SKIP = OPERATIONS.index("skip_connect")
_POOL = OPERATIONS.index("avg_pool_3x3")
# kernel size -> operation
_CONVS = {1: OPERATIONS.index("nor_conv_1x1"), 3: OPERATIONS.index("nor_conv_3x3")}


class Folded(NamedTuple):
    """A convolution with its batch norm in it."""

    kernel: Tensor
    bias: Tensor

    @classmethod
    def of(cls, conv: nn.Conv2d, bn: nn.BatchNorm2d) -> "Folded":
        return cls(
            *fuse_conv_bn_weights(
                conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
            )
        )

    def __call__(self, x: Tensor, stride: int = 1) -> Tensor:
        return F.conv2d(x, self.kernel, self.bias, stride, padding=self.kernel.shape[-1] // 2)


class FoldedCell:
    """The convolutions of a cell, folded: `convs[e]` maps an operation's index to its convolution."""

    def __init__(self, cell: nn.Module):
        self.convs: list[dict[int, Folded]] = []
        for operations in cell.edges:
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
        kernel = sum(w * F.pad(conv.kernel, [(size - conv.kernel.shape[-1]) // 2] * 4) for w, conv in parts)
        return Folded(kernel, sum(w * conv.bias for w, conv in parts))


class FoldedSkeleton:
    """A skeleton with its cells in inference form. Made anew for each scoring: weights may change."""

    def __init__(self, skeleton: Skeleton):
        with torch.no_grad():
            self.stem = Folded.of(*skeleton.stem)
            self.cells = [
                cell if isinstance(cell, ResidualBlock) else FoldedCell(cell) for cell in skeleton.cells
            ]
            self.last = skeleton.last[0]

    def kernels(
        self, x: Tensor, mixings: Sequence[Mixing], new_kernel: Callable[[Tensor], AgreementKernel]
    ) -> Iterator[AgreementKernel]:
        """The kernel of each mixing on the images x (B x C x H x W), one after the other."""
        with torch.no_grad():
            stem = self.stem(x.contiguous(memory_format=torch.channels_last))
        for mixing in mixings:
            kernel = new_kernel(x)
            with torch.no_grad():
                self._run(stem, mixing, kernel)
            yield kernel

    def _run(self, x: Tensor, mixing: Mixing, kernel: AgreementKernel) -> None:
        for cell in self.cells:
            if isinstance(cell, ResidualBlock):
                x = _residual(cell, x, kernel)
            else:
                x = _cell(cell, x, mixing, kernel)
        bn = self.last
        x = F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
        kernel.add(x, relus=1)


def _residual(block: ResidualBlock, x: Tensor, kernel: AgreementKernel) -> Tensor:
    kernel.add(x, relus=1, blocks=1)
    inner = Folded.of(block.conv_a.conv, block.conv_a.bn)(x.relu(), stride=2)
    kernel.add(inner, relus=1, blocks=1)
    return Folded.of(block.conv_b.conv, block.conv_b.bn)(inner.relu_()).add_(block.shortcut(x))


def _cell(cell: FoldedCell, x: Tensor, mixing: Mixing, kernel: AgreementKernel) -> Tensor:
    nodes: list[Tensor | None] = [x]  # None: no input reaches the node, it is zero
    relus: dict[int, Tensor] = {}
    for target in (1, 2, 3):
        convolved, skipped, pooled = [], [], []
        for edge, source in INCOMING[target]:
            row, value = mixing[edge], nodes[source]
            conv = cell.mixed(edge, row)
            if value is None:
                if conv is not None:
                    convolved.append(conv.bias[:, None, None].expand_as(x).contiguous())
                continue
            if conv is not None:
                if id(value) not in relus:
                    relus[id(value)] = value.relu()
                convolved.append(conv(relus[id(value)]))
            if row[_SKIP]:
                skipped.append((row[_SKIP], value))
            if row[_POOL]:
                pooled.append((row[_POOL], value))
        nodes.append(_sum(convolved, skipped, pooled))
    _record(cell, nodes, mixing, kernel)
    return nodes[3] if nodes[3] is not None else torch.zeros_like(x)


def _sum(convolved: list[Tensor], skipped: list, pooled: list) -> Tensor | None:
    """A node's value: convolutions, plus weighted copies, plus the average pooling of a weighted sum."""
    total = _average_pool(pooled) if pooled else None
    for term in convolved:
        total = term if total is None else total.add_(term)
    if total is None and len(skipped) == 1 and skipped[0][0] == 1:
        return skipped[0][1]  # a copy: the same tensor
    for weight, value in skipped:
        total = weight * value if total is None else total.add_(value, alpha=weight)
    return total


def _average_pool(terms: list[tuple[float, Tensor]]) -> Tensor:
    """3x3 average pooling of the weighted sum of tensors, stride 1; the padding is no part of the mean.

    A depthwise convolution is several times faster than avg_pool2d on channels-last images, and has the
    largest weight in it; where the window sticks out it holds 6 pixels, not 9, and 4 in the corners.
    """
    (largest, x), *others = sorted(terms, key=lambda term: -term[0])
    for index, (weight, value) in enumerate(others):
        share = weight / largest
        x = x.add_(value, alpha=share) if index else torch.add(x, value, alpha=share)
    if min(x.shape[2:]) < 2:
        return F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False).mul_(largest)
    out = F.conv2d(x, x.new_full((x.shape[1], 1, 3, 3), largest / 9), padding=1, groups=x.shape[1])
    for border in (out[:, :, 0], out[:, :, -1], out[..., 0], out[..., -1]):
        border.mul_(9 / 6)
    return out


def _record(cell: FoldedCell, nodes: list[Tensor | None], mixing: Mixing, kernel: AgreementKernel) -> None:
    """Record what the blocks on the cell's edges read: a removed block's inner ReLU reads zeros."""
    counts: dict[int, list[int]] = {}  # a node that only copies another is the same tensor: counted with it
    size = nodes[0][0].numel()
    for edge, (_, source) in enumerate(EDGES):
        node = nodes[source]
        for operation in cell.convs[edge]:
            alive = mixing[edge][operation] != 0
            if node is None:
                kernel.add_zeros(size, relus=1, blocks=1)
                continue
            count = counts.setdefault(id(node), [0, 0])
            count[0] += alive
            count[1] += 1
            if not alive:
                kernel.add_zeros(size, relus=1)
    for node in {id(node): node for node in nodes[:3] if id(node) in counts}.values():
        kernel.add(node, *counts[id(node)])
