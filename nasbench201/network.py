"""The stand-alone NAS-Bench-201 network of one genotype."""

from collections.abc import Callable

from torch import Tensor, nn

from foresight_ext.functional import added, of_kind
from foresight_ext.supernets.kernel import AgreementKernel, KernelNetwork
from nasbench201.folded import folded_kernels
from nasbench201.genotype import INCOMING, OPERATIONS, parse_genotype
from nasbench201.operations import BUILDERS
from nasbench201.skeleton import Cell, Skeleton


class InferCell(Cell):
    """A cell with one operation an edge: `edges[e][0]`."""

    def __init__(self, channels: int, operations: tuple[str, ...]):
        super().__init__()
        self.edges = nn.ModuleList(nn.ModuleList([BUILDERS[name](channels, True)]) for name in operations)

    def forward(self, x: Tensor) -> Tensor:
        nodes, edges = [x], of_kind(nn.ModuleList, self.edges)
        for target in (1, 2, 3):
            nodes.append(added(edges[edge][0](nodes[source]) for edge, source in INCOMING[target]))
        return nodes[-1]


class NASBench201Network(KernelNetwork):
    """The network of a genotype string (UserError if it does not parse), with affine batch norms."""

    def __init__(self, genotype: str, channels: int, cells: int, classes: int, images: int = 3):
        super().__init__()
        operations = parse_genotype(genotype)
        self.mixing = tuple(tuple(float(op == name) for name in OPERATIONS) for op in operations)
        self.skeleton = Skeleton(lambda width: InferCell(width, operations), channels, cells, classes, images)

    def forward(self, x: Tensor) -> Tensor:
        return self.skeleton.run(x, lambda cell, x: cell(x))

    def kernel(self, x: Tensor, new_kernel: Callable[[Tensor], AgreementKernel]) -> AgreementKernel:
        """The NASWOT kernel of the network on the images x, in evaluation mode, at the least work."""
        [kernel] = folded_kernels(self.skeleton, x, [self.mixing], new_kernel)
        return kernel
