"""`aznas_complexity`: how much a network computes, a part of `aznas`."""

from torch import Tensor, nn

from foresight_ext.functional import LAYERS, hooks
from foresight_ext.images.batches import Batch
from foresight_ext.measures.complexity import multiply_adds
from foresight_ext.measures.proxy import Proxy


class ComputedOperations(Proxy):
    """Millions of multiply-adds for one image, `flops`, and one for each output that a bias is added to.

    No labels; one forward pass of one image in evaluation mode.
    """

    name = "aznas_complexity"
    source = "Lee & Ham 2024 (AZ-NAS)"

    def score(self, network: nn.Module, batch: Batch) -> float:
        biased: list[int] = []

        def count(layer: nn.Conv2d | nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            biased.append(output.numel() if layer.bias is not None else 0)

        with hooks(network, LAYERS, count):
            found = multiply_adds(network, batch.inputs[:1])
        return float((found + sum(biased)) / 1e6)


PROXY = ComputedOperations()
