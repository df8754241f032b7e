"""`params`: how many parameters the network has, a baseline."""

from torch import nn

from foresight_ext.batches import Batch
from foresight_ext.complexity import what_runs
from foresight_ext.measures import PROXIES, Proxy


class Params(Proxy):
    """The number of parameters of the modules that run, all unless the network is a supernet under a mixing.

    No labels, no gradient; one forward pass of one image in evaluation mode.
    """

    source = "baseline, e.g. of Abdelfattah et al. 2021 (Zero-Cost-NAS)"

    def score(self, network: nn.Module, batch: Batch) -> float:
        return float(what_runs(network, batch.inputs[:1]).parameters)


PROXIES.register("params", Params())
