"""Convolutions with their batch norm folded in, as evaluation mode computes them."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


class Folded(NamedTuple):
    """A convolution without dilation or groups, and its batch norm, as one kernel and bias."""

    kernel: Tensor
    bias: Tensor
    stride: int
    padding: int

    @classmethod
    def of(cls, conv: nn.Conv2d, bn: nn.BatchNorm2d) -> "Folded":
        """Fold a convolution without bias; both modules keep their weights."""
        return cls.of_kernel(conv.weight, bn, conv.stride[0], conv.padding[0])

    @classmethod
    def of_kernel(cls, kernel: Tensor, bn: nn.BatchNorm2d, stride: int, padding: int) -> "Folded":
        """Fold the convolution of a kernel (out x in x k x k)."""
        fused = fuse_conv_bn_weights(
            kernel, None, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
        )
        return cls(*fused, stride, padding)

    def scaled(self, weight: float) -> "Folded":
        """The convolution times a weight."""
        if weight == 1:
            return self
        return self._replace(kernel=weight * self.kernel, bias=weight * self.bias)

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, self.bias, self.stride, self.padding)
