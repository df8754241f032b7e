"""The modules DARTS networks are made of (Liu et al. 2019), initialised as PyTorch does."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.randomness import NoiseModule
from foresight_ext.supernets.kernel import RecordedBlock


class ReLUConvBN(RecordedBlock, nn.Sequential):
    """ReLU, 1x1 convolution, batch norm: at a cell's inputs. The NASWOT kernel records it as a block."""

    def __init__(self, c_in: int, c_out: int, affine: bool):
        super().__init__(
            nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out, affine=affine)
        )


class FactorizedReduce(nn.Module):
    """Halves the image: two 1x1 convolutions of stride 2, one of them on the image shifted by a pixel."""

    def __init__(self, c_in: int, c_out: int, affine: bool):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = even(self.relu(x))
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


def even(x: Tensor) -> Tensor:
    """Images (B x C x H x W) with a row and a column of zeros more where their number is odd."""
    odd_rows, odd_columns = x.shape[2] % 2, x.shape[3] % 2
    return F.pad(x, (0, odd_columns, 0, odd_rows)) if odd_rows or odd_columns else x


def preprocessing(
    c_older: int, c_newer: int, channels: int, after_reduction: bool, affine: bool
) -> tuple[nn.Module, nn.Module]:
    """What a cell's older and newer input pass; only the older is still twice as large after a reduction."""
    older = FactorizedReduce if after_reduction else ReLUConvBN
    return older(c_older, channels, affine), ReLUConvBN(c_newer, channels, affine)


def _depthwise_separable(c: int, size: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    padding = dilation * (size - 1) // 2
    return [
        nn.ReLU(),
        nn.Conv2d(c, c, size, stride, padding=padding, dilation=dilation, groups=c, bias=False),
        nn.Conv2d(c, c, 1, bias=False),
        nn.BatchNorm2d(c, affine=affine),
    ]


class SepConv(nn.Sequential):
    """Twice: ReLU, depthwise and pointwise convolution, batch norm; the first has the stride."""

    def __init__(self, c: int, size: int, stride: int, affine: bool):
        super().__init__(
            *_depthwise_separable(c, size, stride, 1, affine), *_depthwise_separable(c, size, 1, 1, affine)
        )


class DilConv(nn.Sequential):
    """ReLU, depthwise convolution with dilation 2, pointwise convolution, batch norm."""

    def __init__(self, c: int, size: int, stride: int, affine: bool):
        super().__init__(*_depthwise_separable(c, size, stride, 2, affine))


class Zero(nn.Module):
    """The operation `none`."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class Noise(NoiseModule):
    """S4's `noise`: standard normal noise in place of the input."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return self.normal(x[:, :, :: self.stride, :: self.stride])


# operation name -> (channels, stride, affine) -> module
BUILDERS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "none": lambda c, stride, affine: Zero(stride),
    "noise": lambda c, stride, affine: Noise(stride),
    "max_pool_3x3": lambda c, stride, affine: nn.MaxPool2d(3, stride, padding=1),
    "avg_pool_3x3": lambda c, stride, affine: nn.AvgPool2d(3, stride, padding=1, count_include_pad=False),
    "skip_connect": lambda c, stride, affine: (
        nn.Identity() if stride == 1 else FactorizedReduce(c, c, affine)
    ),
    "sep_conv_3x3": lambda c, stride, affine: SepConv(c, 3, stride, affine),
    "sep_conv_5x5": lambda c, stride, affine: SepConv(c, 5, stride, affine),
    "dil_conv_3x3": lambda c, stride, affine: DilConv(c, 3, stride, affine),
    "dil_conv_5x5": lambda c, stride, affine: DilConv(c, 5, stride, affine),
}
