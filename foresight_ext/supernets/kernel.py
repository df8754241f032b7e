"""The NASWOT kernel: how many recorded activations every two images of a minibatch agree on."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from foresight_ext.functional import hooks, mode
from foresight_ext.supernets.relus import relus_seen

# below this batch size one square product is as fast as its two halves and the corner
_SPLIT_FROM = 128
# how many numbers an image has where the two forms of the product are timed
_TIMED_SIZE = 8192


class AgreementKernel:
    """Accumulates K, the sum of c c^T + (1-c)(1-c)^T over recorded tensors, c = (x > 0) (B x D).

    Mellor et al. 2021, as Zero-Cost-PT (section 3) uses it. A tensor may be recorded by ReLUs and by whole
    ReLU-Conv-BN blocks that start with one; `count_blocks` says whether the latter count as well
    (the official code's counting) or not (the paper's). K is exact: every product is a whole number, in int32
    or below 2^24 in float32, and the sum is kept in float64. `x` is the minibatch: B and the device are its.
    """

    def __init__(self, x: Tensor, count_blocks: bool):
        self.count_blocks = count_blocks
        self._constant = 0
        self._broken: Tensor | None = None
        self._both = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)

    def copy(self) -> "AgreementKernel":
        """A kernel that has recorded the same and goes on by itself."""
        copy = AgreementKernel(self._both, self.count_blocks)
        copy._constant = self._constant
        copy._broken = self._broken
        copy._both.copy_(self._both)
        return copy

    def empty(self) -> "AgreementKernel":
        """A kernel of the same kind that has recorded nothing."""
        return AgreementKernel(self._both, self.count_blocks)

    def include(self, other: "AgreementKernel") -> None:
        """Record what another kernel has recorded."""
        self._both.add_(other._both)
        self._constant += other._constant

    @property
    def size(self) -> int:
        """How many numbers an image have been recorded."""
        return self._constant

    def add(self, x: Tensor, relus: int, blocks: int = 0) -> None:
        """Record x (B x ...) as the input of so many ReLUs and of so many blocks."""
        if self.times(relus, blocks):
            self.add_product(pattern_product(x), x[0].numel(), relus, blocks)

    def add_product(self, product: Tensor, size: int, relus: int, blocks: int = 0) -> None:
        """Record a tensor of `size` numbers an image by its pattern_product (B x B)."""
        self._both.add_(product, alpha=self.times(relus, blocks))
        self._constant += self.times(relus, blocks) * size

    def add_zeros(self, size: int, relus: int, blocks: int = 0) -> None:
        """Record a tensor of zeros, `size` numbers an image: all images agree everywhere."""
        self._constant += self.times(relus, blocks) * size

    def end(self, result: Tensor) -> None:
        """Take note of what the network ends in, or of its last recorded tensor: NaN goes through to it."""
        self._broken = result.isnan().any()

    def matrix(self) -> Tensor:
        """K (B x B, float64): D - r_i - r_j + 2 (c c^T)_ij summed up, r the row sums of c."""
        ones = self._both.diagonal()
        return self._constant - ones[:, None] - ones[None, :] + 2 * self._both

    def log_det(self) -> Tensor:
        """log|det K| (0-dimensional, float64, on the CPU); minus infinity if K is singular.

        NaN if a network's result was NaN: it does not fire, so that K itself does not tell.
        """
        value = torch.linalg.slogdet(self.matrix().cpu()).logabsdet
        return value if self._broken is None else torch.where(self._broken.cpu(), math.nan, value)

    def times(self, relus: int, blocks: int) -> int:
        """How often a tensor counts that so many ReLUs and blocks read."""
        return relus + blocks * self.count_blocks


def pattern_product(x: Tensor) -> Tensor:
    """c c^T (B x B, whole numbers in int32 or float32) of c = (x > 0), x of shape B x ..."""
    # the order of a pattern's entries does not matter: take the one in memory
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1)
    x = x.reshape(len(x), -1)
    # matrix units take such sizes, on every device
    fits = len(x) > 16 and len(x) % 8 == 0 and x.shape[1] % 8 == 0
    if fits and whole_numbers_are_faster(len(x), x.device, torch.get_num_threads()):
        return _product_of_integers(x)
    return _product_of_floats(x)


@cache
def whole_numbers_are_faster(images: int, device: torch.device, threads: int) -> bool:
    """Whether this processor multiplies int8 faster than float32 for so many images.

    Found by timing both once; as both are exact it changes no result.
    """
    x = torch.ones(images, _TIMED_SIZE, device=device)
    try:
        return _seconds(_product_of_integers, x) < _seconds(_product_of_floats, x)
    except (AttributeError, RuntimeError):  # PyTorch keeps the product of int8 to itself: it may change
        return False


def _seconds(product: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """The least time of a few runs."""
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        float(product(x)[0, 0])  # reading a number waits for a GPU
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _product_of_integers(x: Tensor) -> Tensor:
    c = (x > 0).view(torch.int8)
    return torch._int_mm(c, c.T)


def _product_of_floats(x: Tensor) -> Tensor:
    c = torch.gt(x, 0, out=torch.empty_like(x, dtype=torch.float32))
    if len(c) < _SPLIT_FROM:
        return c @ c.T
    # the upper right quarter is the mirror image of the lower left
    half = len(c) // 2
    product = c.new_empty(len(c), len(c))
    product[:half, :half] = c[:half] @ c[:half].T
    product[half:] = c[half:] @ c.T
    product[:half, half:] = product[half:, :half].T
    return product


class RecordedBlock(nn.Module):
    """A whole ReLU-Conv-BN block, which the official code records besides the ReLU that starts it."""


class KernelNetwork(nn.Module, ABC):
    """A network with a form of its own that computes its NASWOT kernel with less work than hooks do."""

    @abstractmethod
    def kernel(self, x: Tensor, new_kernel: Callable[[Tensor], AgreementKernel]) -> AgreementKernel:
        """The kernel on the images x (B x C x H x W) in evaluation mode: what record_by_hooks records."""


@contextmanager
def recorded(module: nn.Module, kernel: AgreementKernel) -> Iterator[None]:
    """Record what the ReLUs and RecordedBlocks of a module read that runs while this is entered."""

    def block(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        kernel.add(inputs[0], relus=0, blocks=1)

    with (
        hooks(module, RecordedBlock, block, before=True),
        relus_seen(module, lambda x: kernel.add(x, relus=1)),
    ):
        yield


def record_by_hooks(network: nn.Module, x: Tensor, kernel: AgreementKernel) -> None:
    """Run any network in evaluation mode and record what its ReLUs and RecordedBlocks read.

    The network comes back as it was.
    """

    with torch.no_grad(), mode(network, False), recorded(network, kernel):
        result = network(x)
    if isinstance(result, Tensor):
        kernel.end(result)
