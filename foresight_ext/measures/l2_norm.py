"""`l2_norm`: how large the weights are."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.functional import LAYERS, hooks, mode
from foresight_ext.images.batches import Batch
from foresight_ext.measures.layers import LayerProxy, Loss


class L2Norm(LayerProxy):
    """||w||, the Euclidean norm of a layer's weight; 0 for a layer that does not run.

    Without labels or gradients. One forward pass of one image in evaluation mode tells which layers run: all,
    unless the network is a supernet under a mixing.
    """

    name = "l2_norm"
    source = "Abdelfattah et al. 2021 (Zero-Cost-NAS)"

    @torch.no_grad()
    def arrays(
        self, network: nn.Module, batch: Batch, loss: Loss = F.cross_entropy, pieces: int = 1
    ) -> list[Tensor]:
        ran = set()
        with mode(network, False), hooks(network, LAYERS, lambda layer, *_: ran.add(layer)):
            network(batch.inputs[:1])
        layers = [module for module in network.modules() if isinstance(module, LAYERS)]
        return [layer.weight.norm() * (layer in ran) for layer in layers]


PROXY = L2Norm()
