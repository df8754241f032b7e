"""`swap_reg`: `swap` on feature maps, times how near the network's size is to one that is wished for."""

import math

import torch
from torch import nn

from foresight_ext.functional import LAYERS, check_weights, mode, own_state, taking_part
from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy
from foresight_ext.measures.redrawing import draw_weights
from foresight_ext.measures.swap import pattern_count


class SwapReg(Proxy):
    """The number of distinct patterns times exp(-(p - mu)^2 / sigma), p the thousands of parameters.

    Patterns are those of ReLUs on feature maps (B x C x H x W). `mu` and `sigma` are the user's choice; the
    default ones favour networks of 1.5 million parameters, mildly: 0.8 million more or less halve the score.
    Parameters count that take part, auxiliary heads' aside. With `repeats` it is the mean over so many
    weights drawn anew from N(0, 1), as the authors measured it (32, and 16 images); B images have at most
    2^B patterns. No labels, no gradient; training mode; one forward pass, or one a repeat.
    """

    name = "swap_reg"
    source = "Peng et al. 2024 (SWAP-NAS), regularised"
    needs_relus = True

    def __init__(self, mu: float = 1500.0, sigma: float = 1e6, repeats: int = 0):
        self.mu = mu
        self.sigma = sigma
        self.repeats = repeats

    @torch.no_grad()
    def score(self, network: nn.Module, batch: Batch) -> float:
        used = taking_part(network, batch.inputs[:1])
        sizes = [
            one.numel() for name, one in network.named_parameters() if one in used and "auxiliary" not in name
        ]
        factor = math.exp(-((sum(sizes) / 1000 - self.mu) ** 2) / self.sigma)
        state = own_state(network)
        with mode(network, True):
            if not self.repeats:
                return float(factor * pattern_count(network, state, batch.inputs, maps_only=True))
            check_weights(network, LAYERS)
            state = own_state(network, torch.clone)
            draw = torch.Generator("cpu").manual_seed(batch.seed)
            counts = []
            for _ in range(self.repeats):
                draw_weights(network, state, draw)
                counts.append(pattern_count(network, state, batch.inputs, maps_only=True))
        return float(factor * torch.stack(counts).mean())


PROXY = SwapReg()
