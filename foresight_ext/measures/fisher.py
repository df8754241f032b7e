"""`fisher`: how much the loss depends on each channel being there, to second order."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.functional import LAYERS, gradients, hooks, layer_weights, logits, mode, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.layers import LayerProxy, Loss, in_pieces, piece_loss


class Fisher(LayerProxy):
    """0.5 mean over images of (a dL/da summed over space)^2 for each output channel a of a layer.

    Every weight of a channel gets the channel's value. Labels; training mode; one forward and one backward
    pass, the memory of training.
    """

    name = "fisher"
    source = "Turner et al. 2020 (BlockSwap); Abdelfattah et al. 2021 (Zero-Cost-NAS)"
    needs_labels = True
    needs_gradients = True

    @torch.enable_grad()
    def arrays(
        self, network: nn.Module, batch: Batch, loss: Loss = F.cross_entropy, pieces: int = 1
    ) -> list[Tensor]:
        state = own_state(network)
        weights = [weight.requires_grad_() for weight in layer_weights(network, state)]
        layers = [module for module in network.modules() if isinstance(module, LAYERS)]
        channels = {layer: weight.new_zeros(len(weight)) for layer, weight in zip(layers, weights)}
        outputs: list[tuple[nn.Conv2d | nn.Linear, Tensor]] = []
        versions: list[int] = []  # of the outputs, which operations in place raise
        copied = False

        def record(layer: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            outputs.append((layer, output))
            versions.append(output._version)
            return output.clone() if copied else None

        with mode(network, True), hooks(network, LAYERS, record):
            for piece in in_pieces(batch, pieces):
                outputs.clear()
                versions.clear()
                returned = logits(network, state, piece.inputs)
                if not copied and versions != [output._version for _, output in outputs]:
                    # what follows a layer works in place: on a copy of the layer's output from now on
                    copied = True
                    outputs.clear()
                    returned = logits(network, state, piece.inputs)
                value = piece_loss(loss, returned, piece)
                found = gradients(value, [output for _, output in outputs])
                for (layer, output), gradient in zip(outputs, found):
                    change = output.detach() * gradient
                    # channels come second, but last where the layer is linear: on tokens these are two places
                    change = change.movedim(-1, 1) if isinstance(layer, nn.Linear) else change
                    change = change.flatten(2).sum(dim=2) if change.dim() > 2 else change
                    channels[layer] += change.square().sum(dim=0) * (0.5 / len(batch.inputs))
        return [
            channels[layer].view(-1, *[1] * (weight.dim() - 1)).expand_as(weight)
            for layer, weight in zip(layers, weights)
        ]


PROXY = Fisher()
