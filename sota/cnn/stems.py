"""What lies before the first cell of a DARTS network: for images of about 32 or of about 224 pixels."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from foresight_ext.supernets.folding import Folded
from foresight_ext.supernets.kernel import AgreementKernel
from foresight_ext.supernets.sharing import Activation


class Stem(nn.Module, ABC):
    """Makes the first cell's two inputs of `width` channels out of images (B x 3 x H x W).

    `after_reduction`: whether the first cell counts as following a reduction.
    """

    after_reduction: bool

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The older and the newer input of the first cell."""

    @abstractmethod
    def folded(self, x: Tensor, kernel: AgreementKernel) -> tuple[Activation, Activation]:
        """The same in evaluation mode, batch norm folded; the kernel records what ReLUs read."""


class CifarStem(Stem):
    """One 3x3 convolution, whose output is both inputs."""

    after_reduction = False

    def __init__(self, width: int):
        super().__init__(width)
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.bn(self.conv(x))
        return x, x

    def folded(self, x: Tensor, kernel: AgreementKernel) -> tuple[Activation, Activation]:
        both = Activation(Folded.of(self.conv, self.bn)(x))
        return both, both


class ImageNetStem(Stem):
    """Two convolutions of stride 2 make the older input, one more the newer."""

    after_reduction = True

    def __init__(self, width: int):
        super().__init__(width)
        half = width // 2
        self.older = nn.Sequential(
            nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.newer = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        older = self.older(x)
        return older, self.newer(older)

    def folded(self, x: Tensor, kernel: AgreementKernel) -> tuple[Activation, Activation]:
        first, first_bn, _, second, second_bn = self.older
        _, third, third_bn = self.newer
        between = Activation(Folded.of(first, first_bn)(x))
        between.record(kernel, relus=1)
        older = Activation(Folded.of(second, second_bn)(between.relu()))
        older.record(kernel, relus=1)
        return older, Activation(Folded.of(third, third_bn)(older.relu()))
