"""`flops`: how much the network computes for one image, a baseline."""

from torch import nn

from foresight_ext.batches import Batch
from foresight_ext.complexity import what_runs
from foresight_ext.measures import PROXIES, Proxy


class Flops(Proxy):
    """Multiply-adds of the convolutions and linear layers that run.

    No labels, no gradient; one forward pass of one image in evaluation mode.
    """

    source = "baseline, e.g. of Abdelfattah et al. 2021 (Zero-Cost-NAS)"

    def score(self, network: nn.Module, batch: Batch) -> float:
        return float(what_runs(network, batch.inputs[:1]).multiply_adds)


PROXIES.register("flops", Flops())
