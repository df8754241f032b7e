"""`grasp`: how removing weights changes the flow of gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.functional import added, attention_in_parts, gradients, layer_weights, logits, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.layers import LayerProxy, Loss, in_pieces, loss_gradients, piece_loss


class Grasp(LayerProxy):
    """-w (H g): H the Hessian of the loss, g its gradient; temperature 1, as in Zero-Cost-NAS.

    Labels; in the mode the network is in; one forward pass, a backward pass that keeps its graph and one
    through that graph: about twice the memory of training. Pieces need the whole gradient first, so they
    take one forward and one backward pass more.
    """

    name = "grasp"
    source = "Wang et al. 2020 (GraSP); Abdelfattah et al. 2021 (Zero-Cost-NAS)"
    needs_labels = True
    needs_gradients = True

    @torch.enable_grad()
    def arrays(
        self, network: nn.Module, batch: Batch, loss: Loss = F.cross_entropy, pieces: int = 1
    ) -> list[Tensor]:
        whole = loss_gradients(network, batch, loss, pieces)[1] if pieces > 1 else None
        state = own_state(network)
        weights = [weight.requires_grad_() for weight in layer_weights(network, state)]
        products = [torch.zeros_like(weight) for weight in weights]
        for piece in in_pieces(batch, pieces):
            with attention_in_parts():  # the single operation has no second derivative
                outputs = logits(network, state, piece.inputs)
            value = piece_loss(loss, outputs, piece)
            found = gradients(value, weights, create_graph=True)
            direction = whole or [gradient.detach() for gradient in found]
            # its gradient is H g
            along = added((d * gradient).sum() for d, gradient in zip(direction, found))
            for product, share in zip(products, gradients(along, weights)):
                product.add_(share)
        return [-weight.detach() * product for weight, product in zip(weights, products)]


PROXY = Grasp()
