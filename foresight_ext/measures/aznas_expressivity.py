"""`aznas_expressivity`: in how many directions the features of a network spread, a part of `aznas`."""

import math

import torch
from torch import Tensor, nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.redrawing import drawn_anew
from foresight_ext.measures.spectra import eigenvalues
from foresight_ext.measures.stages import run_stages


class Expressivity(Proxy):
    """Sum over feature maps of the entropy of their principal components' shares.

    The maps are those of stem and cells (stages.py), rows of C channels an image and position. Shares are the
    eigenvalues of the channels' covariance over their sum, e = -sum of q log(q + 1e-8). Eigenvalues that
    rounding makes negative count as 0: the authors' code gives NaN there. A map that is 0 everywhere, of a
    cell of `none`, has no shares: minus infinity, as which the authors count it. Weights and images are drawn
    anew (redrawing.py). No labels, no gradient; training mode; one forward pass; covariances in float64.
    """

    name = "aznas_expressivity"
    source = "Lee & Ham 2024 (AZ-NAS)"
    needs_double = True

    def score(self, network: nn.Module, batch: Batch) -> float:
        return float(entropies(network, batch).sum())


@torch.no_grad()
def entropies(network: nn.Module, batch: Batch) -> Tensor:
    """e of each feature map (n)."""
    found: list[Tensor] = []
    state, images, _ = drawn_anew(network, batch)
    run_stages(network, state, images, lambda feature: found.append(_entropy(feature)))
    return torch.stack(found)


def _entropy(feature: Tensor) -> Tensor:
    rows = feature.movedim(1, -1).flatten(0, 2).double()
    rows = rows - rows.mean(dim=0)
    covariance = (rows.T @ rows / len(rows)).cpu()
    finite = covariance.isfinite().all()
    values = eigenvalues(torch.where(finite, covariance, 0)).clamp(min=0)
    shares = values / values.sum()
    entropy = -(shares * (shares + 1e-8).log()).sum()
    entropy = torch.where(values.sum() == 0, -math.inf, entropy)
    return torch.where(finite, entropy, math.nan)


PROXY = Expressivity()
