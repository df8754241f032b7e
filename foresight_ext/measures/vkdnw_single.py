"""`vkdnw_single`: the number of parameter tensors plus `vkdnw_entropy`, VKDNW's score of a network alone."""

from torch import nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures import vkdnw_entropy
from foresight_ext.measures.proxy import Proxy


class VKDNWSingle(Proxy):
    """First the number of parameter tensors that take part decides, then `vkdnw_entropy`, which it costs."""

    name = "vkdnw_single"
    source = "Tybl & Neumann 2025 (VKDNW)"

    def __init__(self) -> None:
        self.needs_what(vkdnw_entropy.PROXY)

    def score(self, network: nn.Module, batch: Batch) -> float:
        tensors = len(vkdnw_entropy.tensors_taking_part(network, batch))
        return tensors + vkdnw_entropy.PROXY.score(network, batch)


PROXY = VKDNWSingle()
