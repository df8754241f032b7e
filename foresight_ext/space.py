"""What a search space offers to the shared search, validation and drawing."""

from abc import ABC, abstractmethod
from typing import Any

from torch import nn

from foresight_ext.drawing import Cell
from foresight_ext.registry import Registry
from foresight_ext.supernet import Mixing, Supernet

SPACES = Registry("search space")


class Space(ABC):
    """A search space with its skeleton's settings. Methods that build draw from torch's global generator.

    `new_pass_for_each_batch`: whether every minibatch of the search starts a new pass over the images
    or a pool member goes on through one pass.
    """

    name: str
    new_pass_for_each_batch: bool

    def search_images(self, images: int) -> int:
        """How many of so many training images, the first ones, the search takes its minibatches from."""
        return images // 2

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The skeleton's settings by the names of their options, for config.json."""

    @abstractmethod
    def build_supernet(self, classes: int) -> Supernet:
        """The supernet with fresh random weights."""

    @abstractmethod
    def begin(self, classes: int) -> tuple[Supernet, Mixing]:
        """Build the supernet and the first member's mixing, drawing all the official search draws."""

    @abstractmethod
    def after_member(self, mixing: Mixing, genotype: str | None) -> Mixing:
        """Draw what the official search draws after a pool member; the next member's mixing.

        The genotype is None where members are computed apart from each other, which only spaces allow
        whose draws do not depend on it.
        """

    @abstractmethod
    def genotype(self, mixing: Mixing) -> str:
        """The genotype of a discretised mixing."""

    @abstractmethod
    def build_network(self, genotype: str, classes: int) -> nn.Module:
        """The stand-alone network of a genotype, for validation; UserError if it does not parse."""

    @abstractmethod
    def cells(self, genotype: str) -> tuple[Cell, ...]:
        """The genotype's cells, to be drawn."""
