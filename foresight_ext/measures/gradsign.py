"""`gradsign`: how much images agree on the signs of the weights' gradients."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.functional import gradients, layer_weights, logits, mode, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.layers import LayerProxy, Loss
from foresight_ext.measures.one_image import run_alone


class GradSign(LayerProxy):
    """|sum over images of sign(g)| by the number of all layers' weights: their sum is a mean over weights.

    With `mean` False they are not divided, so that larger networks have larger scores: the authors' code has
    both, and only the sum goes together with accuracy as published. In a supernet, which always has as many
    weights, both rank alike.

    g is the loss gradient of a weight for one image alone, whose own statistics batch norms take; 0 has no
    sign, nor has a weight off the path, which counts all the same. Where a gradient is 0 in theory only, the
    sign of its rounding error counts, as in the authors' code. Labels; training mode; a forward and a
    backward pass of every image alone, the memory of one image.
    """

    source = "Zhang & Jia 2022 (GradSign)"
    needs_labels = True
    needs_gradients = True

    def __init__(self, name: str, mean: bool = True):
        self.name = name
        self.mean = mean

    @torch.enable_grad()
    def arrays(
        self, network: nn.Module, batch: Batch, loss: Loss = F.cross_entropy, pieces: int = 1
    ) -> list[Tensor]:
        state = own_state(network)
        weights = [weight.requires_grad_() for weight in layer_weights(network, state)]
        sums = [torch.zeros_like(weight) for weight in weights]

        def found(target: Tensor, images: Tensor) -> list[Tensor]:
            targets = target.expand(len(images), *target.shape[1:])
            return gradients(loss(logits(network, state, images), targets), weights)

        with mode(network, True):
            for image, target in zip(batch.inputs.split(1), batch.targets.split(1)):
                for signs, gradient in zip(sums, run_alone(partial(found, target), image)):
                    signs.add_(torch.where(gradient.isnan(), gradient, gradient.sign()))  # sign(NaN) is 0
        count = sum(weight.numel() for weight in weights) if self.mean else 1
        return [signs.abs() / count for signs in sums]


PROXY = GradSign("gradsign")
