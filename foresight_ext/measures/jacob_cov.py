"""`jacob_cov`: how differently the network's output depends on different images."""

import math

import torch
from torch import nn

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

    @torch.enable_grad()
    def score(self, network: nn.Module, batch: Batch) -> float:
        images = batch.inputs.detach().requires_grad_()
        [jacobian] = gradients(logits(network, own_state(network), images).sum(), [images])
        matrix = correlation(jacobian.flatten(1))
        values = eigenvalues(matrix.nan_to_num(0, 0, 0)) + _K
        score = -(values.log() + 1 / values).sum()
        return float(torch.where(matrix.isfinite().all(), score, math.nan))


PROXY = JacobCov()
