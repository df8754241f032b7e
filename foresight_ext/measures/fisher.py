"""`fisher`: how much the loss depends on each channel being there, to second order."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.batches import Batch
from foresight_ext.functional import LAYERS, gradients, hooks, layer_weights, logits, mode, own_state
from foresight_ext.measures import PROXIES
from foresight_ext.measures.grad_norm import LayerProxy, Loss, in_parts


class Fisher(LayerProxy):
    """0.5 mean over images of (a dL/da summed over space)^2 for each output channel a of a layer.

    Every weight of a channel gets the channel's value. Labels; training mode; one forward and one backward
    pass, the memory of training.
    """

    source = "Turner et al. 2020 (BlockSwap); Abdelfattah et al. 2021 (Zero-Cost-NAS)"
    needs_labels = True
    needs_gradients = True

    @torch.enable_grad()
    def arrays(
        self, network: nn.Module, batch: Batch, loss: Loss = F.cross_entropy, parts: int = 1
    ) -> list[Tensor]:
        state = own_state(network)
        weights = [weight.requires_grad_() for weight in layer_weights(network, state)]
        layers = [module for module in network.modules() if isinstance(module, LAYERS)]
        channels = {layer: weight.new_zeros(len(weight)) for layer, weight in zip(layers, weights)}
        outputs: list[tuple[nn.Module, Tensor]] = []

        def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            outputs.append((layer, output))

        with mode(network, True), hooks(network, LAYERS, record):
            for part in in_parts(batch, parts):
                outputs.clear()
                value = part.share * loss(logits(network, state, part.inputs), part.targets)
                found = gradients(value, [output for _, output in outputs])
                for (layer, output), gradient in zip(outputs, found):
                    # one position where the layer is linear
                    change = (output.detach() * gradient).view(*output.shape[:2], -1).sum(dim=2)
                    channels[layer] += change.square().sum(dim=0) * (0.5 / len(batch.inputs))
        return [
            channels[layer].view(-1, *[1] * (weight.dim() - 1)).expand_as(weight)
            for layer, weight in zip(layers, weights)
        ]


PROXIES.register("fisher", Fisher())
