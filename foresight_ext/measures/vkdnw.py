"""`vkdnw`: the parts of `aznas` and `vkdnw_entropy`, ranked."""

from foresight_ext.measures import aznas, vkdnw_entropy
from foresight_ext.measures.combination import Combination


class VKDNW(Combination):
    """As `aznas`, with `vkdnw_entropy` as a fifth part. `vkdnw_single` scores a network alone."""

    def __init__(self) -> None:
        super().__init__((*aznas.PROXY.parts, vkdnw_entropy.PROXY), "log_rank")
        self.name = "vkdnw"
        self.source = "Tybl & Neumann 2025 (VKDNW)"


PROXY = VKDNW()
