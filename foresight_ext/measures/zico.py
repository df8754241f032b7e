"""`zico`: gradients that are large and hardly change from minibatch to minibatch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.errors import UserError
from foresight_ext.functional import gradients, layer_weights, logits, mode, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.layers import in_pieces
from foresight_ext.measures.proxy import Proxy


class ZiCo(Proxy):
    """Sum over layers of log(sum over weights of mean|g| / std(g)), over k = 2 batches.

    g is the gradient of the cross entropy on one half of the minibatch; weights without deviation and layers
    without such weights are left out. Labels; training mode; a forward and a backward pass of each half,
    memory for two gradients of every layer's weight. UserError for fewer than two images. In float32 a weight
    whose two gradients are nearly equal divides by their rounding: on another processor expect three equal
    digits.
    """

    name = "zico"
    source = "Li et al. 2023 (ZiCo)"
    least_images = 2
    needs_labels = True
    needs_gradients = True

    @torch.enable_grad()
    def score(self, network: nn.Module, batch: Batch) -> float:
        if len(batch.inputs) < 2:
            raise UserError("zico compares the halves of a minibatch: it needs two images or more")
        state = own_state(network)
        weights = [weight.requires_grad_() for weight in layer_weights(network, state)]
        with mode(network, True):
            halves = [
                gradients(F.cross_entropy(logits(network, state, half.inputs), half.targets), weights)
                for half in in_pieces(batch, 2)
            ]
        return float(torch.stack([_log_ratio(torch.stack(layer)) for layer in zip(*halves)]).sum())


def _log_ratio(layer: Tensor) -> Tensor:
    """The term of a layer's gradients (2 x ...); 0 if it has none."""
    deviation = layer.std(dim=0, correction=0)
    # asked for zeros, so that NaN stays NaN
    ratios = torch.where(deviation == 0, 0, layer.abs().mean(dim=0) / deviation).sum()
    return torch.where(ratios == 0, 0, ratios.log())


PROXY = ZiCo()
