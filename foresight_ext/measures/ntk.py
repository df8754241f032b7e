"""`ntk`: condition number of the neural tangent kernel, how hard the network is to train."""

import torch
from torch import Tensor, nn

from foresight_ext.errors import UserError
from foresight_ext.functional import Weights, logits, mode, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.spectra import eigenvalues

# what the condition number of a kernel counts as that is not finite, or singular
_SINGULAR = 1e5
# The gradients, in float32, have some five correct digits, and eigenvalues go with their squares: from this
# condition number on a kernel is as good as singular.
_UNRESOLVED = 1e10


class NTK(Proxy):
    """Largest by smallest eigenvalue of G G^T (B x B), G the gradients of each image's summed outputs.

    Gradients with respect to all parameters called weight, batch norms' included. Lower is better. No labels;
    training mode; one forward pass, one backward pass an image, memory for B gradients of every weight;
    products in float64. A kernel that is not finite, or singular, counts as 1e5. It is singular where the
    features of all images add up to a constant: with nothing between the last batch norms and the pooling.
    """

    name = "ntk"
    source = "Chen et al. 2021 (TE-NAS), section 3.1.1"
    higher_is_better = False
    needs_gradients = True
    needs_double = True

    def score(self, network: nn.Module, batch: Batch) -> float:
        kernel = tangent_kernel(network, own_state(network), batch.inputs)
        values = eigenvalues(torch.where(kernel.isfinite().all(), kernel, 0))
        smallest, largest = values[0], values[-1]
        return float(torch.where(smallest > largest / _UNRESOLVED, largest / smallest, _SINGULAR))


@torch.enable_grad()
def tangent_kernel(network: nn.Module, state: Weights, x: Tensor) -> Tensor:
    """G G^T (B x B, float64) for images x (B x C x H x W)."""
    weights = [state[name].requires_grad_() for name, _ in network.named_parameters() if "weight" in name]
    if not weights or any(weight.is_complex() for weight in weights):
        raise UserError("ntk looks at the gradients of parameters called weight: real ones are needed")
    with mode(network, True):
        outputs = logits(network, state, x).reshape(len(x), -1).sum(dim=1)
        images = [
            torch.autograd.grad(output, weights, retain_graph=True, allow_unused=True) for output in outputs
        ]
    kernel = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
    for rows in zip(*images):
        if rows[0] is not None:  # the weight took part
            matrix = torch.stack(rows).flatten(1).double()
            kernel += matrix @ matrix.T
    return kernel


PROXY = NTK()
