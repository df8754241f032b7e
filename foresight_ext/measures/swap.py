"""`swap`: how many different sign patterns the network's neurons have over the images."""

import numpy as np
import torch
from torch import Tensor, nn

from foresight_ext.functional import logits, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.measures.patterns import distinct, fires, pack, unless_nan
from foresight_ext.measures.proxy import Proxy
from foresight_ext.supernets.relus import relus_seen


class Swap(Proxy):
    """The number of distinct patterns among all ReLU outputs: for which of the B images each is positive.

    No labels, no gradient; in the mode the network is in; one forward pass, and the distinct patterns of B
    bits in memory. Without the optional term for the network's size.
    """

    name = "swap"
    source = "Peng et al. 2024 (SWAP-NAS)"
    needs_relus = True

    @torch.no_grad()
    def score(self, network: nn.Module, batch: Batch) -> float:
        patterns: list[np.ndarray] = []

        def record(x: Tensor) -> None:
            patterns.append(distinct([pack(fires(x))]))

        with relus_seen(network, record):
            output = logits(network, own_state(network), batch.inputs)
        if not patterns:
            return 0.0
        # NaN does not fire, so that its patterns would count as those of numbers
        return float(unless_nan(float(distinct(patterns).shape[1]), output))


PROXY = Swap()
