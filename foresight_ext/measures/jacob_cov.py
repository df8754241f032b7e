"""`jacob_cov`: how differently the network's output depends on different images."""

import math

import torch
from torch import Tensor, nn

from foresight_ext.functional import gradients, logits, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.spectra import correlation, eigenvalues

_K = 1e-5


class JacobCov(Proxy):
    """-sum of log(v + k) + 1 / (v + k), k = 1e-5, v the eigenvalues of a B x B correlation matrix.

    Correlated are the gradients of the summed outputs with respect to each image. No labels; in the mode the
    network is in; one forward and one backward pass. NaN where an image has no gradient, or one that is
    the same everywhere.
    """

    name = "jacob_cov"
    source = "Mellor et al. 2020 (first version of NASWOT); Abdelfattah et al. 2021 (Zero-Cost-NAS)"
    needs_gradients = True

    def score(self, network: nn.Module, batch: Batch) -> float:
        jacobian, _ = image_gradients(network, batch.inputs)
        matrix = correlation(jacobian)
        values = eigenvalues(matrix.nan_to_num(0, 0, 0)) + _K
        score = -(values.log() + 1 / values).sum()
        return float(torch.where(matrix.isfinite().all(), score, math.nan))


@torch.enable_grad()
def image_gradients(network: nn.Module, images: Tensor) -> tuple[Tensor, int]:
    """The gradient of the summed outputs by each image (B x D), and how many outputs there are."""
    images = images.detach().requires_grad_()
    outputs = logits(network, own_state(network), images)
    [jacobian] = gradients(outputs.sum(), [images])
    return jacobian.flatten(1), outputs.shape[-1]


PROXY = JacobCov()
