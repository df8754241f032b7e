"""`tenas`: how hard a network is to train and how much it can express, two proxies combined by rank."""

from foresight_ext.measures import (
    PROXIES,
    linear_regions,  # noqa: F401 - this one and the next register what parts_of finds
    ntk,  # noqa: F401
)
from foresight_ext.measures.combination import Combination, parts_of


class TENAS(Combination):
    """Rank by `ntk` (lower is better) plus rank by `linear_regions` (higher is better), as TE-NAS prunes.

    Of some removals the lowest sum wins: what is left trains worst and expresses least. The ranks are over
    what is compared: an edge's candidates, those of all undecided edges (global orders), or the pool.
    """

    def __init__(self):
        super().__init__(parts_of("ntk,linear_regions"), "rank")
        self.source = "Chen et al. 2021 (TE-NAS), that Xiang et al. 2023 (Zero-Cost-PT) compare with"


PROXIES.register("tenas", TENAS())
