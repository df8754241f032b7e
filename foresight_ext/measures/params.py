"""`params`: how many parameters the network has, a baseline."""

from collections.abc import Callable

from torch import Tensor, nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures.complexity import parameters_taking_part
from foresight_ext.measures.proxy import Proxy


class Size(Proxy):
    """A count over what takes part in the output for one image: all, unless a supernet's mixing removes it.

    No labels; one forward pass in evaluation mode.
    """

    source = "baseline, e.g. of Abdelfattah et al. 2021 (Zero-Cost-NAS)"

    def __init__(self, name: str, count: Callable[[nn.Module, Tensor], int]):
        self.name = name
        self.count = count

    def score(self, network: nn.Module, batch: Batch) -> float:
        return float(self.count(network, batch.inputs[:1]))


PROXY = Size("params", parameters_taking_part)
