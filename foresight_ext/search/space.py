"""What a search space offers to the shared search, validation, training and drawing."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from foresight_ext.drawing import Cell
from foresight_ext.images.batches import Images
from foresight_ext.measures.complexity import multiply_adds
from foresight_ext.randomness import seeded
from foresight_ext.supernets.supernet import Mixing, Supernet, noise_mixing
from foresight_ext.training.spec import TrainSpec


class Space(ABC):
    """A search space with its skeleton's settings. Methods that build draw from torch's global generator.

    A new space says how its supernet and its networks are built and what a genotype is. The rest, which a
    space overrules whose official search draws otherwise, has defaults: a member starts from fresh small
    noise and goes through one pass over the first half of the training images.

    `new_pass_for_each_batch`: whether every minibatch of the search starts a new pass instead.
    `members_apart`: whether after_member needs no genotype, so that members can be computed at the same time.
    `validates`: whether the pool is validated; if not, the search ends with the pool.
    `train_spec`: how a winner is trained; None if that is not known.
    `measured`: costs that were measured of whole architectures, such as latencies: by name, genotype -> cost.
    A search may be limited by them, as by `sizes`.
    """

    name: str
    new_pass_for_each_batch: bool = False
    members_apart: bool = True
    validates: bool = True
    train_spec: TrainSpec | None = None
    measured: Mapping[str, Mapping[str, float]] = MappingProxyType({})

    @abstractmethod
    def build_supernet(self, classes: int) -> Supernet:
        """The supernet with fresh random weights."""

    @abstractmethod
    def genotype(self, mixing: Mixing) -> str:
        """The genotype of a discretised mixing."""

    @abstractmethod
    def build_network(self, genotype: str, classes: int) -> nn.Module:
        """The stand-alone network of a genotype, for validation; UserError if it does not parse."""

    def sizes(self, supernet: Supernet, mixing: Mixing, x: Tensor, classes: int) -> Mapping[str, float]:
        """`params` and, for one input x (1 x ...), `flops` (multiply-adds) of a discretised mixing's network.

        They add up: what a candidate adds does not depend on the others.
        """
        with seeded(0):
            network = self.build_network(self.genotype(mixing), classes)
        parameters = sum(one.numel() for one in network.parameters())
        return {"params": parameters, "flops": multiply_adds(network, x.cpu())}

    def read_genotype(self, text: str) -> str:
        """A genotype from elsewhere, as this space writes it; UserError if it is none of this space."""
        with seeded(0):
            self.build_network(text, 2)
        return text

    def check(self, images: Images, device: torch.device) -> None:
        """UserError if the networks can't take the images: asked before any long work."""
        return

    def smallest(self) -> "Space":
        """The same space with the smallest skeleton that has all its choices, for tests and first tries."""
        return self

    def settings(self) -> dict[str, Any]:
        """The skeleton's settings by the names of their options, for config.json."""
        return {}

    def to_paste(self, genotype: str) -> str:
        """The genotype as one would write it into a file; empty where that is its own form."""
        return ""

    def same_network(self, genotype: str) -> str:
        """What genotypes share whose networks compute the same, weights apart; each for itself by default."""
        return genotype

    def cells(self, genotype: str) -> tuple[Cell, ...]:
        """The genotype's cells, to be drawn."""
        return ()

    def search_images(self, images: int) -> int:
        """How many of so many training images, the first ones, the search takes its minibatches from."""
        return images // 2

    def begin(self, classes: int) -> tuple[Supernet, Mixing]:
        """Build the supernet and the first member's mixing, drawing all the official search draws."""
        supernet = self.build_supernet(classes)
        return supernet, supernet.new_mixing()

    def after_member(self, mixing: Mixing, genotype: str | None) -> Mixing:
        """Draw what the official search draws after a pool member; the next member's mixing.

        The genotype is None where members are computed apart from each other, which a space whose draws
        depend on it forbids by `members_apart`.
        """
        return noise_mixing([len(row) for row in mixing])
