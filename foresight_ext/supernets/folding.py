"""Convolutions with their batch norm folded in, as evaluation mode computes them."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from foresight_ext.errors import UserError

Pair = tuple[int, ...]  # (rows, columns)


class Folded(NamedTuple):
    """A convolution with its batch norm as one kernel (out x in / groups x k x k) and bias."""

    kernel: Tensor
    bias: Tensor | None
    stride: Pair
    padding: Pair
    dilation: Pair = (1, 1)
    groups: int = 1

    @classmethod
    def of(cls, conv: nn.Module, bn: nn.Module | None = None) -> "Folded":
        """Fold what torch.nn.utils.fusion.fuse_conv_bn_eval folds; both modules keep their weights.

        UserError says what can't be folded, as why_unfoldable does.
        """
        why = why_unfoldable(conv, bn)
        if why is not None:
            raise UserError(why)
        assert isinstance(conv, nn.Conv2d) and not isinstance(conv.padding, str)
        shape = (conv.stride, conv.padding, conv.dilation, conv.groups)
        if bn is None:
            return cls(conv.weight, conv.bias, *shape)
        assert isinstance(bn, _BatchNorm)
        kernel, bias = _fused(conv.weight, conv.bias, bn)
        return cls(kernel, bias, *shape)

    @classmethod
    def of_kernel(cls, kernel: Tensor, bn: _BatchNorm, stride: int) -> "Folded":
        """Fold the convolution of a kernel (out x in x k x k), without bias and padding."""
        return cls(*_fused(kernel, None, bn), (stride, stride), (0, 0))

    def scaled(self, weight: float) -> "Folded":
        """The convolution times a weight."""
        if weight == 1:
            return self
        bias = None if self.bias is None else weight * self.bias
        return self._replace(kernel=weight * self.kernel, bias=bias)

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, *self)


def why_unfoldable(conv: nn.Module, bn: nn.Module | None = None) -> str | None:
    """Why Folded.of can't fold the two, if so.

    Other kinds of modules, padding that is not zeros, a batch norm without running statistics.
    """
    if type(conv) is not nn.Conv2d or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return f"{conv} can't be folded: it must be a Conv2d with a number of zeros as padding"
    if bn is not None and not isinstance(bn, _BatchNorm):
        return f"{bn} can't be folded: it must be a batch norm"
    if bn is not None and (bn.running_mean is None or bn.running_var is None):
        return _no_statistics(bn)
    return None


def running_statistics(bn: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Mean and variance of the channels in evaluation mode; UserError if there are none."""
    mean, variance = bn.running_mean, bn.running_var
    if mean is None or variance is None:
        raise UserError(_no_statistics(bn))
    return mean, variance


def _no_statistics(bn: nn.Module) -> str:
    return f"{bn} can't be folded: it has no running statistics"


def _fused(kernel: Tensor, bias: Tensor | None, bn: _BatchNorm) -> tuple[Tensor, Tensor]:
    mean, variance = running_statistics(bn)
    return fuse_conv_bn_weights(kernel, bias, mean, variance, bn.eps, bn.weight, bn.bias)
