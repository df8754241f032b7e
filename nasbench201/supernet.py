"""The NAS-Bench-201 supernet: every edge of every cell holds all five operations."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from foresight_ext.functional import of_kind
from foresight_ext.supernets.kernel import AgreementKernel
from foresight_ext.supernets.supernet import Choice, Mixing, Supernet
from nasbench201.folded import folded_kernels
from nasbench201.genotype import EDGE_NAMES, EDGES, INCOMING, OPERATIONS
from nasbench201.operations import BUILDERS
from nasbench201.skeleton import Cell, Skeleton

_NONE = OPERATIONS.index("none")


class SearchCell(Cell):
    """A cell of four nodes; `edges[e][o]` is operation o on edge e. Its batch norms are not affine."""

    def __init__(self, channels: int):
        super().__init__()
        self.edges = nn.ModuleList(
            nn.ModuleList(BUILDERS[operation](channels, False) for operation in OPERATIONS) for _ in EDGES
        )

    def forward(self, x: Tensor, mixing: Mixing) -> Tensor:
        nodes, edges = [x], of_kind(nn.ModuleList, self.edges)
        for target in (1, 2, 3):
            total = torch.zeros_like(x)
            for edge, source in INCOMING[target]:
                for weight, operation in zip(mixing[edge], edges[edge]):
                    if weight:
                        total = total + weight * operation(nodes[source])
            nodes.append(total)
        return nodes[-1]


class NASBench201Supernet(Supernet):
    """Supernet over the six edges; all cells share one mixing (6 rows of 5 weights)."""

    choices = tuple(Choice(name, OPERATIONS) for name in EDGE_NAMES)

    def __init__(self, channels: int, cells: int, classes: int, images: int = 3):
        super().__init__()
        self.skeleton = Skeleton(SearchCell, channels, cells, classes, images)

    def forward(self, x: Tensor, mixing: Mixing) -> Tensor:
        return self.skeleton.run(x, lambda cell, x: cell(x, mixing))

    def effective(self, mixing: Mixing) -> Mixing:
        """`none` adds nothing, so its weight cannot matter."""
        return tuple(row[:_NONE] + (0.0,) + row[_NONE + 1 :] for row in mixing)

    def kernels(
        self, x: Tensor, mixings: Sequence[Mixing], new_kernel: Callable[[Tensor], AgreementKernel]
    ) -> list[AgreementKernel]:
        return folded_kernels(self.skeleton, x, mixings, new_kernel)
