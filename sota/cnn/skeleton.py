"""The macro skeleton that the supernets and the stand-alone networks of the DARTS spaces share."""

from collections.abc import Callable

from torch import Tensor, nn

from sota.cnn.candidates import NODES
from sota.cnn.stems import Stem


class Cell(nn.Module):
    """A cell of a supernet or a network: what its two inputs pass, and whether it halves the image."""

    older: nn.Module
    newer: nn.Module
    reduction: bool


class Skeleton(nn.Module):
    """Stem, cells of C channels, pooling, classifier; a reduction at a third and at two thirds of the cells.

    Modules are built in the order in which they stand in the official code: random weights depend on it. A
    subclass calls `build_cells`, builds what it has between cells and classifier, and calls `build_end`.
    """

    stem: Stem
    cells: nn.ModuleList

    def build_cells(
        self, stem: Stem, channels: int, layers: int, make_cell: Callable[..., Cell]
    ) -> list[int]:
        """Build the cells, and return the channels that come out of each.

        `make_cell` is called with the channels of the older and of the newer input, the cell's own, whether
        it is a reduction and whether it follows one.
        """
        self.stem = stem
        self.cells = nn.ModuleList()
        older, newer, after_reduction = stem.width, stem.width, stem.after_reduction
        widths = []
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduction else 1
            self.cells.append(make_cell(older, newer, channels, reduction, after_reduction))
            older, newer, after_reduction = newer, len(NODES) * channels, reduction
            widths.append(newer)
        return widths

    def build_end(self, channels: int, classes: int) -> None:
        """Build what follows the last cell."""
        self.pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def run(
        self,
        x: Tensor,
        run_cell: Callable[[nn.Module, Tensor, Tensor], Tensor],
        after: Callable[[int, Tensor], None] = lambda layer, output: None,
    ) -> Tensor:
        """Logits (B x classes) of the images x (B x 3 x H x W); `after` is told each cell's output."""
        older, newer = self.stem(x)
        for layer, cell in enumerate(self.cells):
            older, newer = newer, run_cell(cell, older, newer)
            after(layer, newer)
        return self.classifier(self.pooling(newer).flatten(1))
