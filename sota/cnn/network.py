"""The stand-alone DARTS networks of one genotype, in their CIFAR and ImageNet shapes."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from foresight_ext.functional import of_kind
from foresight_ext.supernets.kernel import AgreementKernel, KernelNetwork
from foresight_ext.training.spec import TrainedNetwork
from sota.cnn.candidates import NODES
from sota.cnn.folded import FoldedCell, folded_kernels
from sota.cnn.notation import Genotype
from sota.cnn.operations import BUILDERS, preprocessing
from sota.cnn.skeleton import Cell, Skeleton
from sota.cnn.stems import CifarStem, ImageNetStem, Stem


class DiscreteCell(Cell):
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
        self.older, self.newer = preprocessing(c_older, c_newer, channels, after_reduction, affine=True)
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


class DartsNetwork(Skeleton, KernelNetwork, TrainedNetwork):
    """Stem, cells of C channels, auxiliary head after two thirds of the layers (None: without), classifier.

    In training mode `forward` returns the logits and the auxiliary head's (None without one); in
    evaluation mode the logits (B x classes). `drop_path` is the probability of dropping a path.
    `make_head` builds the auxiliary head for a number of channels.
    """

    def __init__(
        self,
        genotype: Genotype,
        stem: Stem,
        channels: int,
        layers: int,
        classes: int,
        make_head: Callable[[int], AuxiliaryHead] | None,
    ):
        super().__init__()
        self.head_after = 2 * layers // 3
        widths = self.build_cells(stem, channels, layers, partial(DiscreteCell, genotype))
        self.auxiliary_head = make_head(widths[self.head_after]) if make_head is not None else None
        self.build_end(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor | None]:
        auxiliary: list[Tensor] = []

        def head(layer: int, output: Tensor) -> None:
            if layer == self.head_after and self.auxiliary_head is not None and self.training:
                auxiliary.append(self.auxiliary_head(output))

        logits = self.run(x, lambda cell, older, newer: cell(older, newer, self.drop_path), head)
        return (logits, next(iter(auxiliary), None)) if self.training else logits

    def training_only(self) -> Iterator[nn.Parameter]:
        return iter(()) if self.auxiliary_head is None else self.auxiliary_head.parameters()

    @torch.no_grad()
    def kernel(self, x: Tensor, new_kernel: Callable[[Tensor], AgreementKernel]) -> AgreementKernel:
        """The NASWOT kernel of the network on the images x, in evaluation mode, at the least work."""
        one_each = ((1.0,),) * (2 * len(NODES))
        cells = [
            FoldedCell(cell, [[op] for op in cell.operations], cell.incoming(), lambda mixing: mixing)
            for cell in of_kind(DiscreteCell, self.cells)
        ]
        [kernel] = folded_kernels(self.stem, cells, x, [one_each], new_kernel)
        return kernel


class NetworkCIFAR(DartsNetwork):
    """For images of about 32 pixels: the stem has 3C channels."""

    def __init__(self, genotype: Genotype, channels: int, layers: int, classes: int, auxiliary: bool):
        head = (lambda c: AuxiliaryHead(c, classes, stride=3, last_bn=True)) if auxiliary else None
        super().__init__(genotype, CifarStem(3 * channels), channels, layers, classes, head)


class NetworkImageNet(DartsNetwork):
    """For images of about 224 pixels: the stem has C channels."""

    def __init__(self, genotype: Genotype, channels: int, layers: int, classes: int, auxiliary: bool):
        head = (lambda c: AuxiliaryHead(c, classes, stride=2, last_bn=False)) if auxiliary else None
        super().__init__(genotype, ImageNetStem(channels), channels, layers, classes, head)
