"""The stand-alone DARTS networks of one genotype, in their CIFAR and ImageNet shapes."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from foresight_ext.folding import Folded
from foresight_ext.kernel import AgreementKernel
from sota.cnn.folded import FoldedCell, folded_kernels
from sota.cnn.genotypes import Genotype
from sota.cnn.operations import BUILDERS, FactorizedReduce, ReLUConvBN
from sota.cnn.spaces import NODES


class DiscreteCell(nn.Module):
    """A cell of a genotype: two operations a node. `operations[2n]` and `[2n + 1]` end in node n."""

    def __init__(
        self,
        genotype: Genotype,
        c_older: int,
        c_newer: int,
        channels: int,
        reduction: bool,
        after_reduction: bool,
    ):
        super().__init__()
        self.reduction = reduction
        older = FactorizedReduce if after_reduction else ReLUConvBN
        self.older = older(c_older, channels, affine=True)
        self.newer = ReLUConvBN(c_newer, channels, affine=True)
        pairs = genotype.reduce if reduction else genotype.normal
        self.concat = genotype.reduce_concat if reduction else genotype.normal_concat
        self.sources = [source for _, source in pairs]
        self.operations = nn.ModuleList(
            BUILDERS[name](channels, 2 if reduction and source < 2 else 1, True) for name, source in pairs
        )

    def incoming(self) -> list[list[tuple[int, int]]]:
        """Each node's (operation, input) pairs."""
        return [[(slot, self.sources[slot]) for slot in (2 * node, 2 * node + 1)] for node in NODES]

    def forward(self, older: Tensor, newer: Tensor, drop_path: float = 0.0) -> Tensor:
        states = [self.older(older), self.newer(newer)]
        for node in NODES:
            first, second = (
                self._run(index, states, drop_path if self.training else 0.0)
                for index in (2 * node, 2 * node + 1)
            )
            states.append(first + second)
        return torch.cat([states[index] for index in self.concat], dim=1)

    def _run(self, index: int, states: list[Tensor], drop_path: float) -> Tensor:
        operation = self.operations[index]
        value = operation(states[self.sources[index]])
        if drop_path and not isinstance(operation, nn.Identity):
            return drop_images(value, drop_path)
        return value


def drop_images(x: Tensor, probability: float) -> Tensor:
    """Drop path: zero x (B x C x H x W) for each image with that probability, and scale the others up."""
    # not bernoulli_(p): torch.compile would compile anew for every p, so in every epoch
    keep = (torch.rand(len(x), 1, 1, 1, device=x.device) + (1 - probability)).floor().to(x.dtype)
    return x / (1 - probability) * keep


class AuxiliaryHead(nn.Module):
    """The auxiliary classifier; `stride` of its pooling is 3 for CIFAR's and 2 for ImageNet's image size."""

    def __init__(self, channels: int, classes: int, stride: int, last_bn: bool):
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=stride, count_include_pad=False),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            *([nn.BatchNorm2d(768)] if last_bn else []),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


class DartsNetwork(nn.Module, ABC):
    """What both shapes share: cells, auxiliary head after two thirds of the layers, classifier.

    In training mode `forward` returns the logits and the auxiliary head's (None without one); in
    evaluation mode the logits (B x classes). `drop_path` is the probability of dropping a path.
    """

    drop_path = 0.0

    def _build(
        self, genotype, widths: tuple[int, int, int], layers: int, classes: int, after_reduction: bool, head
    ) -> None:
        older, newer, channels = widths
        self.head_after = 2 * layers // 3
        self.cells = nn.ModuleList()
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduction else 1
            self.cells.append(DiscreteCell(genotype, older, newer, channels, reduction, after_reduction))
            older, newer, after_reduction = newer, len(NODES) * channels, reduction
            if layer == self.head_after:
                head_channels = newer
        self.auxiliary_head = head(head_channels) if head is not None else None
        self.pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(newer, classes)

    @abstractmethod
    def stem_outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first cell's two inputs."""

    def features(self, x: Tensor) -> Tensor:
        """The last cell's output, before pooling."""
        return self._run(x)[0]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor | None]:
        newer, auxiliary = self._run(x)
        logits = self.classifier(self.pooling(newer).flatten(1))
        return (logits, auxiliary) if self.training else logits

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        older, newer = self.stem_outputs(x)
        auxiliary = None
        for layer, cell in enumerate(self.cells):
            older, newer = newer, cell(older, newer, self.drop_path)
            if layer == self.head_after and self.auxiliary_head is not None and self.training:
                auxiliary = self.auxiliary_head(newer)
        return newer, auxiliary


class NetworkCIFAR(DartsNetwork):
    """For images of about 32 pixels: a stem of one 3x3 convolution to 3C channels."""

    def __init__(self, genotype: Genotype, channels: int, layers: int, classes: int, auxiliary: bool):
        super().__init__()
        width = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        head = (lambda c: AuxiliaryHead(c, classes, stride=3, last_bn=True)) if auxiliary else None
        self._build(genotype, (width, width, channels), layers, classes, False, head)

    def stem_outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        return x, x

    @torch.no_grad()
    def kernel(self, x: Tensor, new_kernel: Callable[[Tensor], AgreementKernel]) -> AgreementKernel:
        """The NASWOT kernel of the network on the images x, in evaluation mode, at the least work."""
        stem = Folded.of(*self.stem)
        one_each = ((1.0,),) * (2 * len(NODES))
        cells = [
            FoldedCell(cell, [[op] for op in cell.operations], cell.incoming(), lambda mixing: mixing)
            for cell in self.cells
        ]
        [kernel] = folded_kernels(lambda x: (stem(x),) * 2, cells, x, [one_each], new_kernel)
        return kernel


class NetworkImageNet(DartsNetwork):
    """For images of about 224 pixels: three convolutions of stride 2 come first."""

    def __init__(self, genotype: Genotype, channels: int, layers: int, classes: int, auxiliary: bool):
        super().__init__()
        half = channels // 2
        self.stem0 = nn.Sequential(
            nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.stem1 = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        head = (lambda c: AuxiliaryHead(c, classes, stride=2, last_bn=False)) if auxiliary else None
        self._build(genotype, (channels, channels, channels), layers, classes, True, head)

    def stem_outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        older = self.stem0(x)
        return older, self.stem1(older)
