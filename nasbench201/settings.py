"""The size of NAS-Bench-201's networks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SkeletonSettings:
    """The macro skeleton of NAS-Bench-201 (Dong & Yang 2020, section 2.1).

    `init_channels` is C, the channels of the first stage's cells (the other two stages have 2C and 4C),
    `cells` is N, the number of cells in each stage.
    """

    init_channels: int = 16
    cells: int = 5
