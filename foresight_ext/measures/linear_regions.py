"""`linear_regions`: into how many linear pieces the network cuts the space of tiny images."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from foresight_ext.functional import logits, mode, own_state
from foresight_ext.images.batches import Batch
from foresight_ext.images.tiny_images import tiny_images
from foresight_ext.measures.patterns import distinct, fires, pack, unless_nan
from foresight_ext.measures.proxy import Proxy
from foresight_ext.supernets.relus import relus_seen
from foresight_ext.supernets.supernet import Masked, Mixing, Supernet

_BATCH_SIZE = 1000
_SIDE = 3


class LinearRegions(Proxy):
    """The number of distinct sign patterns of all ReLUs over 3 batches of 1000 training images (`images`).

    Each image is cropped at random to 3 x 3 pixels (padding 4), of one random channel. Images are drawn by
    the minibatch's seed from the training set that it came from, or from the minibatch itself. No labels, no
    gradient; evaluation mode; 3 forward passes, and a bit in memory for every ReLU output of each image.

    The official code has a second supernet for images of one channel. Here the one channel goes three times
    into the network: a sum of three weights of PyTorch's default initialisation, each of variance
    1 / (3 * 27) in a 3x3 stem, has the variance of the weights of a stem for one channel, 1 / (3 * 9), so
    that the two differ as other draws do.
    """

    name = "linear_regions"
    source = "Chen et al. 2021 (TE-NAS), section 3.1.2"
    needs_relus = True

    def __init__(self, images: int = 3000):
        self.images = images

    def score(self, network: nn.Module, batch: Batch) -> float:
        return _count(network, tiny_images(batch, self.images, _SIDE))

    def score_mixings(self, supernet: Supernet, mixings: Sequence[Mixing], batch: Batch) -> list[float]:
        images = tiny_images(batch, self.images, _SIDE)
        return [_count(Masked(supernet, mixing), images) for mixing in mixings]


@torch.no_grad()
def _count(network: nn.Module, tiny: Tensor) -> float:
    """The distinct patterns over images (n x C x H x W)."""
    state = own_state(network)
    words: list[np.ndarray] = []  # one array for each ReLU that ran
    patterns: list[np.ndarray] = []
    outputs: list[Tensor] = []

    def record(x: Tensor) -> None:
        words.append(pack(fires(x).T))

    with mode(network, False), relus_seen(network, record):
        for images in tiny.split(_BATCH_SIZE):
            words[:] = [np.zeros((1, len(images)), dtype=np.uint64)]  # without ReLUs there is one region
            # NaN does not fire, so that its patterns would count as those of numbers
            outputs.append(logits(network, state, images))
            patterns.append(np.concatenate(words))
    return float(unless_nan(float(distinct(patterns).shape[1]), torch.cat(outputs)))


PROXY = LinearRegions()
