"""`swap`: how many different sign patterns the network's neurons have over the images."""

import numpy as np
import torch
from torch import Tensor, nn

from foresight_ext.functional import Weights, logits, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.patterns import distinct, fires, pack, unless_nan
from foresight_ext.measures.proxy import Proxy
from foresight_ext.supernets.relus import relus_seen


class Swap(Proxy):
    """The number of distinct patterns among all ReLU outputs: for which of the B images each is positive.

    No labels, no gradient; in the mode the network is in; one forward pass, and the distinct patterns of B
    bits in memory. With the optional term for the network's size it is `swap_reg`.
    """

    name = "swap"
    source = "Peng et al. 2024 (SWAP-NAS)"
    needs_relus = True

    def score(self, network: nn.Module, batch: Batch) -> float:
        return float(pattern_count(network, own_state(network), batch.inputs))


@torch.no_grad()
def pattern_count(network: nn.Module, state: Weights, images: Tensor, maps_only: bool = False) -> Tensor:
    """The number of distinct patterns (0-dimensional, float64), of feature maps' neurons or of all."""
    patterns: list[np.ndarray] = []

    def record(x: Tensor) -> None:
        if x.dim() == 4 or not maps_only:
            patterns.append(distinct([pack(fires(x))]))

    with relus_seen(network, record):
        output = logits(network, state, images)
    count = distinct(patterns).shape[1] if patterns else 0
    # NaN does not fire, so that its patterns would count as those of numbers
    return unless_nan(float(count), output)


PROXY = Swap()
