"""`params`: how many parameters the network has, a baseline."""

from torch import nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures.complexity import what_runs
from foresight_ext.measures.proxy import Proxy


class Size(Proxy):
    """A count of complexity.Complexity over what takes part in the output.

    All does, unless the network is a supernet under a mixing. No labels; one forward pass of one image in
    evaluation mode, and where modules do not run a backward pass.
    """

    source = "baseline, e.g. of Abdelfattah et al. 2021 (Zero-Cost-NAS)"

    def __init__(self, name: str, count: str):
        self.name = name
        self.count = count

    def score(self, network: nn.Module, batch: Batch) -> float:
        return float(getattr(what_runs(network, batch.inputs[:1]), self.count))


PROXY = Size("params", "parameters")
