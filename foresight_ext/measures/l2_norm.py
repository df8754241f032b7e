"""`l2_norm`: how large the weights are."""

import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.functional import LAYERS, check_weights, taking_part
from foresight_ext.images.batches import Batch
from foresight_ext.measures.layers import LayerProxy, Loss


class L2Norm(LayerProxy):
    """||w||, the Euclidean norm of a layer's weight; 0 for a layer that takes no part.

    Without labels. A forward pass of one image in evaluation mode tells which take part: all, unless the
    network is a supernet under a mixing.
    """

    name = "l2_norm"
    source = "Abdelfattah et al. 2021 (Zero-Cost-NAS)"

    def arrays(
        self, network: nn.Module, batch: Batch, loss: Loss = F.cross_entropy, pieces: int = 1
    ) -> list[Tensor]:
        check_weights(network, LAYERS)
        used = taking_part(network, batch.inputs[:1])
        layers = [module for module in network.modules() if isinstance(module, LAYERS)]
        return [layer.weight.detach().norm() * (layer.weight in used) for layer in layers]


PROXY = L2Norm()
