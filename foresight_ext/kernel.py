"""The NASWOT kernel: how many recorded activations every two images of a minibatch agree on."""

import torch
from torch import Tensor, nn

# below this batch size one square product is as fast as its two halves and the corner
_SPLIT_FROM = 128


class AgreementKernel:
    """Accumulates K, the sum of c c^T + (1-c)(1-c)^T over recorded tensors, c = (x > 0) (B x D).

    Mellor et al. 2021, as Zero-Cost-PT (section 3) uses it. A tensor may be recorded by ReLUs and by whole
    ReLU-Conv-BN blocks that start with one; `count_blocks` says whether the latter count as well
    (the official code's counting) or not (the paper's). K is exact: every product is a whole number below
    2^24 in float32, and the sum is kept in float64. `x` is the minibatch: B and the device are its.
    """

    def __init__(self, x: Tensor, count_blocks: bool):
        self.count_blocks = count_blocks
        self._constant = 0
        self._both = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
        self._scratch = torch.empty(0, device=x.device)

    def add(self, x: Tensor, relus: int, blocks: int = 0) -> None:
        """Record x (B x ...) as the input of so many ReLUs and of so many blocks."""
        times = self._times(relus, blocks)
        if times == 0:
            return
        # the order of a pattern's entries does not matter: take the one in memory
        if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
            x = x.permute(0, 2, 3, 1)
        x = x.reshape(len(x), -1)
        # one buffer for all patterns: fresh memory for each would cost more than the comparison
        if self._scratch.numel() < x.numel():
            self._scratch = torch.empty(x.numel(), device=x.device)
        pattern = self._scratch[: x.numel()].view_as(x)
        torch.gt(x, 0, out=pattern)
        self._both.add_(_gram(pattern), alpha=times)
        self._constant += times * pattern.shape[1]

    def add_zeros(self, size: int, relus: int, blocks: int = 0) -> None:
        """Record a tensor of zeros, `size` numbers an image: all images agree everywhere."""
        self._constant += self._times(relus, blocks) * size

    def matrix(self) -> Tensor:
        """K (B x B, float64): D - r_i - r_j + 2 (c c^T)_ij summed up, r the row sums of c."""
        ones = self._both.diagonal()
        return self._constant - ones[:, None] - ones[None, :] + 2 * self._both

    def log_det(self) -> Tensor:
        """log|det K| (0-dimensional, float64, on the CPU); minus infinity if K is singular."""
        return torch.linalg.slogdet(self.matrix().cpu()).logabsdet

    def _times(self, relus: int, blocks: int) -> int:
        return relus + blocks * self.count_blocks


def _gram(c: Tensor) -> Tensor:
    """c c^T; for large batches the upper right quarter is the mirror image of the lower left."""
    if len(c) < _SPLIT_FROM:
        return c @ c.T
    half = len(c) // 2
    gram = c.new_empty(len(c), len(c))
    gram[:half, :half] = c[:half] @ c[:half].T
    gram[half:] = c[half:] @ c.T
    gram[:half, half:] = gram[half:, :half].T
    return gram


def record_by_hooks(network: nn.Module, x: Tensor, kernel: AgreementKernel) -> None:
    """Run any network in evaluation mode and record what its ReLUs and blocks read.

    Blocks are modules with a true attribute `records_input`. The network comes back as it was.
    """
    handles = []
    modes = [(module, module.training) for module in network.modules()]

    def record(relus: int, blocks: int):
        return lambda module, inputs: kernel.add(inputs[0], relus, blocks)

    try:
        for module, _ in modes:
            if isinstance(module, (nn.ReLU, nn.ReLU6)):
                handles.append(module.register_forward_pre_hook(record(1, 0)))
            elif getattr(module, "records_input", False):
                handles.append(module.register_forward_pre_hook(record(0, 1)))
        network.eval()
        with torch.no_grad():
            network(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
