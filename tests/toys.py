"""A toy space of arithmetic, without any network: searches whose answers can be worked out by hand."""

import torch

from foresight_ext.images.augmentation import Augmentation
from foresight_ext.images.batches import BatchDraws
from foresight_ext.images.datasets import ImageData
from foresight_ext.measures import Proxy
from foresight_ext.search.pool import PoolSearch
from foresight_ext.search.space import Space
from foresight_ext.supernets.supernet import Choice, Supernet


class ToySupernet(Supernet):
    """Six choices in two groups; nothing is ever run."""

    choices = (
        Choice("a", ("x", "y"), "normal"),
        Choice("b", ("x", "y"), "normal"),
        Choice("c", ("x", "y", "z"), "normal"),
        Choice("d", ("x", "y"), "reduce"),
        Choice("e", ("x", "y"), "reduce"),
        Choice("f", ("x", "y"), "reduce"),
    )

    def forward(self, x, mixing):
        raise AssertionError("the toy proxy looks at the mixing only")


class ToySpace(Space):
    """All candidates weigh 1; members draw a number each, which the genotype of the one before may change."""

    name = "toy"

    def build_supernet(self, classes):
        return ToySupernet()

    def begin(self, classes):
        torch.rand(1)
        return self.build_supernet(classes), tuple(
            (1.0,) * len(choice.candidates) for choice in ToySupernet.choices
        )

    def after_member(self, mixing, genotype):
        torch.rand(1 if genotype is None else len(genotype))
        return mixing

    def genotype(self, mixing):
        return "".join(c.candidates[row.index(1.0)] for c, row in zip(ToySupernet.choices, mixing))

    def build_network(self, genotype, classes):
        raise AssertionError("not needed")


class ToyProxy(Proxy):
    """The score of a mixing is a sum of values of what it still holds, plus what the images hold."""

    name = "toy"
    source = "none"

    def __init__(self, values):
        self.values = values
        self.batches = []  # the first label of each minibatch that was scored

    def score(self, network, batch):
        raise AssertionError("not needed")

    def score_mixings(self, supernet, mixings, batch):
        self.batches.append(int(batch.targets[0]))
        return [
            sum(w * v for row, values in zip(mixing, self.values) for w, v in zip(row, values))
            for mixing in mixings
        ]


def toy_data(images=40):
    """Black images of 8x8 whose label is their index."""
    return ImageData(
        "toy",
        images,
        torch.arange(images),
        lambda indices: torch.zeros(len(indices), 3, 8, 8, dtype=torch.uint8),
        (0.5,) * 3,
        (0.5,) * 3,
        Augmentation(8),
    )


def toy_search(order, proxy, seed=0, images=40, batch_size=1):
    """A pool search of the toy space."""
    return PoolSearch(ToySpace(), toy_data(images), proxy, order, seed, batch_size, torch.device("cpu"))


def first_labels(draws: list[BatchDraws]) -> list[int]:
    """The first image's index of each minibatch."""
    return [int(one.indices[0]) for one in draws]
