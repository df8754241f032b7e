"""`aznas_progressivity`: how much each cell adds to the directions of its input, a part of `aznas`."""

import math

import torch
from torch import nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures.aznas_expressivity import entropies
from foresight_ext.measures.proxy import Proxy


class Progressivity(Proxy):
    """The least e_i - e_(i-1) over feature maps, e as in `aznas_expressivity`, which says what it costs.

    Minus infinity where a map is 0 everywhere.
    """

    name = "aznas_progressivity"
    source = "Lee & Ham 2024 (AZ-NAS)"
    needs_double = True

    def score(self, network: nn.Module, batch: Batch) -> float:
        found = entropies(network, batch)
        least = torch.where(found.isneginf().any(), -math.inf, found.diff().min())
        return float(torch.where(found.isnan().any(), math.nan, least))


PROXY = Progressivity()
