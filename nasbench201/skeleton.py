"""The macro skeleton that the supernet and the stand-alone networks of NAS-Bench-201 share."""

from collections.abc import Callable

from torch import Tensor, nn

from nasbench201.operations import ResidualBlock


class Cell(nn.Module):
    """A cell of a supernet or a network: `edges[e]` lists the operations on edge e."""

    edges: nn.ModuleList


class Skeleton(nn.Module):
    """Stem, three stages of N cells at C, 2C and 4C channels with residual blocks between, classifier.

    Modules are built in the order in which they run: random weights depend on it. `make_cell` builds
    a cell for a number of channels; `images` is the number of channels of the images.
    """

    def __init__(
        self, make_cell: Callable[[int], Cell], channels: int, cells: int, classes: int, images: int = 3
    ):
        super().__init__()
        self.channels = channels
        self.stem = nn.Sequential(
            nn.Conv2d(images, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.cells = nn.ModuleList()
        for stage, width in enumerate((channels, 2 * channels, 4 * channels)):
            if stage:
                self.cells.append(ResidualBlock(width // 2, width))
            self.cells.extend(make_cell(width) for _ in range(cells))
        self.last = nn.Sequential(nn.BatchNorm2d(4 * channels), nn.ReLU())
        self.pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(4 * channels, classes)

    def run(self, x: Tensor, run_cell: Callable[[nn.Module, Tensor], Tensor]) -> Tensor:
        """Logits (B x classes) of the images x (B x images x H x W)."""
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x) if isinstance(cell, ResidualBlock) else run_cell(cell, x)
        return self.classifier(self.pooling(self.last(x)).flatten(1))
