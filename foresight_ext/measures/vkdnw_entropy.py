"""`vkdnw_entropy`: how even the eigenvalues of the network's Fisher information matrix are."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from foresight_ext.errors import UserError
from foresight_ext.functional import Weights, mode, taking_part
from foresight_ext.images.batches import Batch
from foresight_ext.measures.jacobians import jacobians
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.redrawing import drawn_anew
from foresight_ext.measures.spectra import eigenvalues

# the share of the uniform distribution that is mixed into the network's; the authors compute in float16
_SMOOTHING = np.float16(0.05)


class VKDNWEntropy(Proxy):
    """Entropy of the nine deciles, as shares of their sum, of the singular values of a matrix F.

    F is the mean over images of (L J)^T (L J). J (K x P) are the derivatives of the logits with respect to
    `entries` entries of each of the network's first `tensors` parameter tensors that take part, L is the
    Cholesky factor of diag(p) - p p^T and p the smoothed softmax of the logits. The Fisher information is
    (L^T J)^T (L^T J): the authors' code has the factor transposed, and so have the published figures and
    this default; `fisher_information` asks for the other. One entry a tensor, its first, is what the
    published figures must be of: the code's own default, none, has no value.

    Weights and images are drawn anew (redrawing.py). No labels; evaluation mode with fresh statistics; a
    forward pass and K backward passes, sixteen images at once (jacobians.py); F in float64.
    """

    name = "vkdnw_entropy"
    source = "Tybl & Neumann 2025 (VKDNW)"
    needs_gradients = True
    needs_double = True

    def __init__(self, entries: int = 1, tensors: int = 128, fisher_information: bool = False):
        self.entries = entries
        self.tensors = tensors
        self.fisher_information = fisher_information

    def score(self, network: nn.Module, batch: Batch) -> float:
        state, images, _ = drawn_anew(network, batch)
        _start_statistics(network, state)
        names = tensors_taking_part(network, batch)[: self.tensors]
        if not names:
            raise UserError("vkdnw looks at derivatives with respect to parameters: none takes part")
        entries = {name: _places(state[name].numel(), self.entries) for name in names}
        total = torch.zeros((), device="cpu")
        with mode(network, False):
            for outputs, found in jacobians(network, state, images, entries):
                jacobian, factor = found.cpu().double(), _factor(outputs.cpu().double())
                product = (factor.T if self.fisher_information else factor) @ jacobian
                total = total + product.T @ product / len(images)
        finite = total.isfinite().all()
        values = eigenvalues(torch.where(finite, total, 0)).abs()
        deciles = values.quantile(torch.linspace(0.1, 0.9, 9, dtype=torch.float64, device="cpu"))
        shares = deciles / (deciles.sum() + 1e-10)
        return float(torch.where(finite, -(shares * (shares + 1e-10).log()).sum(), math.nan))


def tensors_taking_part(network: nn.Module, batch: Batch) -> list[str]:
    """The names of the parameter tensors that take part: all, unless a supernet's mixing removes some."""
    used = taking_part(network, batch.inputs[:1])
    return [name for name, one in network.named_parameters() if one in used]


def _places(numbers: int, entries: int) -> list[int]:
    """Where entries lie among as many numbers, as evenly as the authors' float32 puts them."""
    return torch.linspace(0, numbers - 1, entries, device="cpu").long().tolist()


def _start_statistics(network: nn.Module, state: Weights) -> None:
    """Means of 0 and variances of 1, as batch norms start with."""
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.zero_()
        elif name.endswith("running_var"):
            value.fill_(1)


def _factor(outputs: Tensor) -> Tensor:
    """The lower triangular factor L (K x K) of diag(p) - p p^T, p the smoothed softmax of outputs (K)."""
    share, each = float(1 - _SMOOTHING), float(_SMOOTHING / np.float16(len(outputs)))
    p = share * outputs.softmax(dim=0) + each
    rest = 1 - p.cumsum(dim=0)  # what is left of 1 behind each class
    rest[-1] = 0
    before = torch.cat((torch.ones_like(rest[:1]), rest[:-1]))
    # float16's shares make a little more than 1, so that the last of many classes may have nothing left
    nothing = rest <= 0
    diagonal = torch.where(nothing, 0, (p * rest / before).sqrt())
    below = -torch.outer(p, torch.where(nothing, 0, diagonal / rest)).tril(-1)
    return below + diagonal.diag()


PROXY = VKDNWEntropy()
