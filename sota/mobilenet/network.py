"""The chain: a supernet where every layer holds its candidates, or the stand-alone network of a genotype."""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from foresight_ext.choices.mixed import MixedOp
from sota.mobilenet.genotype import FIRST, HEAD, LAYERS, NAMES, RESIDUALS, STEM, candidates


def conv_bn(
    c_in: int, c_out: int, kernel_size: int = 1, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    """A convolution without bias that keeps the size but for its stride, and a batch norm."""
    padding = kernel_size // 2
    convolution = nn.Conv2d(c_in, c_out, kernel_size, stride, padding, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(c_out)


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, project (Sandler et al. 2018); `residual` adds x."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: int,
        expansion: int,
        stride: int,
        residual: bool,
        activation: Callable[[], nn.Module] = nn.ReLU6,
    ):
        super().__init__()
        width = c_in * expansion
        expand = (*conv_bn(c_in, width), activation()) if expansion > 1 else ()
        depthwise = (*conv_bn(width, width, kernel_size, stride, groups=width), activation())
        self.layers = nn.Sequential(*expand, *depthwise, *conv_bn(width, c_out))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """The chain with all candidates in MixedOps, or with a genotype the one that each layer keeps.

    `width` multiplies all channels. As in the official code a supernet's convolutions are drawn again when
    it is built, and a stand-alone network has dropout.
    """

    def __init__(self, classes: int, width: float = 1.0, genotype: Sequence[int] | None = None):
        super().__init__()

        def scaled(channels: int) -> int:
            return max(1, round(channels * width))

        self.stem = nn.Sequential(*conv_bn(3, scaled(STEM), 3, stride=2), nn.ReLU6())
        self.first = InvertedResidual(scaled(STEM), scaled(FIRST), 3, 1, stride=1, residual=False)
        self.layers = nn.Sequential()
        c_in = scaled(FIRST)
        for layer, (channels, stride, starts) in enumerate(LAYERS):
            c_out = scaled(channels)
            makers: dict[str, Callable[[], nn.Module]] = {
                name: _maker(name, c_in, c_out, stride, residual=not starts) for name in candidates(layer)
            }
            if genotype is None:
                self.layers.append(MixedOp(makers, f"layer{layer}"))
            else:
                self.layers.append(makers[NAMES[genotype[layer]]]())
            c_in = c_out
        self.head = nn.Sequential(*conv_bn(c_in, scaled(HEAD)), nn.ReLU6())
        self.pooling = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Identity() if genotype is None else nn.Dropout(0.2)
        self.classifier = nn.Linear(scaled(HEAD), classes)
        if genotype is None:
            self._draw_again()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pooling(self.head(self.layers(self.first(self.stem(x)))))
        return self.classifier(self.dropout(x.flatten(1)))

    def _draw_again(self) -> None:
        """The supernet's convolutions, in module order; the groups of depthwise ones make no difference."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels
                nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))


def _maker(name: str, c_in: int, c_out: int, stride: int, residual: bool) -> Callable[[], nn.Module]:
    """What makes the candidate of a name."""
    if name not in NAMES[: len(RESIDUALS)]:
        return nn.Identity
    kernel_size, expansion = RESIDUALS[NAMES.index(name)]
    return lambda: InvertedResidual(c_in, c_out, kernel_size, expansion, stride, residual)
