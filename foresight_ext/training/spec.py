"""How the networks of a space are trained, and what a trained network may know of its training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from foresight_ext.functional import PairNetwork
from foresight_ext.training.recipe import Recipe


class TrainedNetwork(PairNetwork):
    """A network with parts that only its training uses. Plain modules are trained as well.

    In training mode `forward` may return the logits and an auxiliary head's (None without one).
    `drop_path` is the probability of dropping a path, which the trainer sets for every epoch.
    """

    drop_path: float = 0.0

    def training_only(self) -> Iterator[nn.Parameter]:
        """The parameters that evaluation does not use, such as an auxiliary head's."""
        return iter(())


@dataclass(frozen=True)
class TrainSpec:
    """How the networks of a space are trained.

    `build` makes the network of a genotype for a number of classes, its weights drawn from the global
    streams; UserError if the genotype does not parse. `settings` are the network's, by the names of their
    options, for config.json. `check` raises a UserError if the network can't be trained on images of a side
    in pixels.
    """

    build: Callable[[str, int], nn.Module]
    recipe: Recipe
    settings: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[int], None] = lambda side: None
