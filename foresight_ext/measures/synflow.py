"""`synflow`: how much flows through all paths of the network, whatever the data."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.functional import (
    BATCH_NORMS,
    gradients,
    hooks,
    layer_weights,
    logits,
    mode,
    own_state,
)
from foresight_ext.images.batches import Batch
from foresight_ext.measures.layers import LayerProxy, Loss, total
from foresight_ext.measures.one_image import refused


class Synflow(LayerProxy):
    """|w g|, g the gradient of the summed output for one image of ones, all weights and buffers positive.

    Without labels or images; float64; one forward and one backward pass of one image. Batch norms pass on
    what they get, or run in the mode the network is in (`keep_batch_norms`); NaN where they would normalise a
    single value, as on one pixel in training mode. The arrays are the raw values;
    the score is the logarithm of their sum: it orders networks the same, and stays small where the sum over
    a supernet's paths is not.
    """

    source = "Tanaka et al. 2020 (SynFlow); Abdelfattah et al. 2021 (Zero-Cost-NAS)"
    needs_gradients = True
    needs_double = True

    def __init__(self, name: str, keep_batch_norms: bool):
        self.name = name
        self.without = () if keep_batch_norms else BATCH_NORMS

    @torch.enable_grad()
    def arrays(
        self, network: nn.Module, batch: Batch, loss: Loss = F.cross_entropy, pieces: int = 1
    ) -> list[Tensor]:
        state = own_state(network, _positive)
        for name, module in network.named_modules():
            if not isinstance(module, BATCH_NORMS):  # buffers of others keep their signs
                for part, buffer in module.named_buffers(recurse=False):
                    value = buffer.detach().clone()
                    kept = value.double() if value.is_floating_point() else value
                    state[f"{name}.{part}" if name else part] = kept
        weights = [weight.requires_grad_() for weight in layer_weights(network, state)]
        ones = torch.ones_like(batch.inputs[:1], dtype=torch.float64)
        # batch norms that pass on what they get would still refuse one image of one pixel in training mode
        with mode(network, False, self.without), hooks(network, self.without, _pass_on):
            try:
                found = gradients(logits(network, state, ones).sum(), weights)
            except ValueError as error:
                if not refused(error):
                    raise
                return [torch.full_like(weight, math.nan) for weight in weights]
        return [(weight.detach() * gradient).abs() for weight, gradient in zip(weights, found)]

    def score(self, network: nn.Module, batch: Batch) -> float:
        return float(total(self.arrays(network, batch)).log())


def _positive(value: Tensor) -> Tensor:
    return value.abs().double() if value.is_floating_point() else value


def _pass_on(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return inputs[0].clone()  # as a batch norm: what follows may change it in place


PROXY = Synflow("synflow", keep_batch_norms=False)
