"""`tenas`: how hard a network is to train and how much it can express, two proxies combined by rank."""

from foresight_ext.measures import linear_regions, ntk
from foresight_ext.measures.combination import Combination


class TENAS(Combination):
    """Rank by `ntk` (lower is better) plus rank by `linear_regions` (higher is better), as TE-NAS prunes.

    Of some removals the lowest sum wins: what is left trains worst and expresses least. The ranks are over
    what is compared: an edge's candidates, those of all undecided edges (global orders), or the pool.
    """

    def __init__(self) -> None:
        super().__init__((ntk.PROXY, linear_regions.PROXY), "rank")
        self.name = "tenas"
        self.source = "Chen et al. 2021 (TE-NAS), that Xiang et al. 2023 (Zero-Cost-PT) compare with"


PROXY = TENAS()
