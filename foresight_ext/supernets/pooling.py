"""3x3 average pooling of stride 1 as a depthwise convolution, which is several times faster channels-last."""

import torch.nn.functional as F
from torch import Tensor, nn


def is_average_pool(module: nn.Module) -> bool:
    """Whether average_pool computes what the module does."""
    if type(module) is not nn.AvgPool2d or module.count_include_pad or module.divisor_override is not None:
        return False
    settings = zip((module.kernel_size, module.stride, module.padding), (3, 1, 1))
    return all(found in (wanted, (wanted, wanted)) for found, wanted in settings)


def average_pool(x: Tensor, weight: float = 1.0) -> Tensor:
    """Weight times the 3x3 average pooling of x (B x C x H x W); the padding is no part of the mean.

    Where the window sticks out it holds 6 pixels, not 9, and 4 in the corners.
    """
    if min(x.shape[2:]) < 2:
        return F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False).mul_(weight)
    out = F.conv2d(x, x.new_full((x.shape[1], 1, 3, 3), weight / 9), padding=1, groups=x.shape[1])
    for border in (out[:, :, 0], out[:, :, -1], out[..., 0], out[..., -1]):
        border.mul_(9 / 6)
    return out
