"""The DARTS supernet: every edge of every cell holds all its candidate operations."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from foresight_ext.functional import of_kind
from foresight_ext.supernets.kernel import AgreementKernel
from foresight_ext.supernets.supernet import Choice, Mixing, Node, Supernet
from sota.cnn.candidates import CANDIDATES, CELL_TYPES, EDGES, INCOMING, NODES
from sota.cnn.folded import FoldedCell, folded_kernels
from sota.cnn.operations import BUILDERS, preprocessing
from sota.cnn.skeleton import Cell, Skeleton
from sota.cnn.stems import CifarStem, Stem

_POOLS = ("max_pool_3x3", "avg_pool_3x3")
KEPT_EDGES = 2


class SearchCell(Cell):
    """A cell; `edges[e][o]` is operation o on edge e. No batch norm is affine; pooling has one behind it.

    `candidates` are the operations' names on each edge, by cell type.
    """

    def __init__(
        self,
        candidates: Mapping[str, Sequence[Sequence[str]]],
        c_older: int,
        c_newer: int,
        channels: int,
        reduction: bool,
        after_reduction: bool,
    ):
        super().__init__()
        self.reduction = reduction
        self.older, self.newer = preprocessing(c_older, c_newer, channels, after_reduction, affine=False)
        self.edges = nn.ModuleList()
        for (_, source), names in zip(EDGES, candidates[CELL_TYPES[reduction]]):
            stride = 2 if reduction and source < 2 else 1
            self.edges.append(nn.ModuleList(_candidate(name, channels, stride) for name in names))

    def forward(self, older: Tensor, newer: Tensor, rows: Mixing) -> Tensor:
        states: list[Tensor] = [self.older(older), self.newer(newer)]
        edges = of_kind(nn.ModuleList, self.edges)
        for node in NODES:
            terms = [
                weight * operation(states[source])
                for edge, source in INCOMING[node]
                for weight, operation in zip(rows[edge], edges[edge])
                if weight
            ]
            states.append(sum(terms) if terms else self.empty_node(states))
        return torch.cat(states[2:], dim=1)

    def empty_node(self, states: list[Tensor]) -> Tensor:
        """What a node holds that no operation reaches: zeros."""
        like = states[0]
        stride = 2 if self.reduction else 1
        return torch.zeros_like(like[:, :, ::stride, ::stride])


def _candidate(name: str, channels: int, stride: int) -> nn.Module:
    operation = BUILDERS[name](channels, stride, False)
    if name in _POOLS:
        return nn.Sequential(operation, nn.BatchNorm2d(channels, affine=False))
    return operation


class DartsSupernet(Skeleton, Supernet):
    """Supernet of one of the spaces S1 to S6.

    Choices 0 to 13 are the edges of the normal cells, 14 to 27 those of the reduction cells.
    `make_stem` is called with the stem's width, 3C.
    """

    def __init__(
        self,
        space: str,
        channels: int,
        layers: int,
        classes: int,
        make_stem: Callable[[int], Stem] = CifarStem,
    ):
        super().__init__()
        candidates = dict(zip(CELL_TYPES, CANDIDATES[space]))
        self.choices = tuple(
            Choice(f"{cell} {2 + node}<-{source}", names, cell)
            for cell in CELL_TYPES
            for (node, source), names in zip(EDGES, candidates[cell])
        )
        self.nodes = tuple(
            Node(f"{cell} {2 + node}", tuple(offset + edge for edge, _ in INCOMING[node]), KEPT_EDGES, cell)
            for offset, cell in zip((0, len(EDGES)), CELL_TYPES)
            for node in NODES
            if len(INCOMING[node]) > KEPT_EDGES
        )
        widths = self.build_cells(make_stem(3 * channels), channels, layers, partial(SearchCell, candidates))
        self.build_end(widths[-1], classes)

    def forward(self, x: Tensor, mixing: Mixing) -> Tensor:
        def run_cell(cell: nn.Module, older: Tensor, newer: Tensor) -> Tensor:
            assert isinstance(cell, SearchCell)
            return cell(older, newer, _ROWS[cell.reduction](mixing))

        return self.run(x, run_cell)

    def effective(self, mixing: Mixing) -> Mixing:
        """`none` adds nothing, so its weight cannot matter."""
        return tuple(
            tuple(0.0 if name == "none" else weight for weight, name in zip(row, choice.candidates))
            for row, choice in zip(mixing, self.choices)
        )

    @torch.no_grad()
    def kernels(
        self, x: Tensor, mixings: Sequence[Mixing], new_kernel: Callable[[Tensor], AgreementKernel]
    ) -> list[AgreementKernel]:
        cells = [
            FoldedCell(cell, of_kind(nn.ModuleList, cell.edges), INCOMING, _ROWS[cell.reduction])
            for cell in of_kind(SearchCell, self.cells)
        ]
        return folded_kernels(self.stem, cells, x, mixings, new_kernel)


# the rows of a mixing that a cell reads: by whether it is a reduction
_ROWS = (lambda mixing: mixing[: len(EDGES)], lambda mixing: mixing[len(EDGES) :])
