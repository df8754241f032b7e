"""The size of the DARTS networks: of those that are searched, and of those that are trained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchSkeleton:
    """The supernet and the validation networks (Liu et al. 2019, section 3.1).

    `search_channels` is C, the channels of the first cells, `search_layers` the number of cells.
    """

    search_channels: int = 16
    search_layers: int = 8


@dataclass(frozen=True)
class TrainedSkeleton:
    """The network that is trained (Liu et al. 2019, section 3.2), on CIFAR-10 unless said otherwise.

    `init_channels` is C, the channels of the first cells, `layers` the number of cells; `auxiliary` says
    whether an auxiliary head is trained as well.
    """

    init_channels: int = 36
    layers: int = 20
    auxiliary: bool = True
