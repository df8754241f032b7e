"""The zero-cost proxies, registered by name. A new one is one file in this folder that registers itself."""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import nn

from foresight_ext.batches import Batch
from foresight_ext.registry import Registry
from foresight_ext.supernet import Masked, Mixing, Supernet

PROXIES = Registry("proxy")


class Proxy(ABC):
    """Scores an untrained network on a minibatch. `source` names the paper it comes from.

    `needs_labels`, `needs_gradients` and `needs_double` say what it costs: the minibatch's targets, a
    backward pass, float64; `needs_relus` that it looks at nn.ReLU and nn.ReLU6 modules and nothing else;
    `least_images` how large a minibatch must be.
    """

    source: str
    higher_is_better: bool = True
    needs_labels: bool = False
    needs_gradients: bool = False
    needs_double: bool = False
    needs_relus: bool = False
    least_images: int = 1

    @abstractmethod
    def score(self, network: nn.Module, batch: Batch) -> float:
        """The proxy of a network, which comes back as it was."""

    def score_mixings(self, supernet: Supernet, mixings: Sequence[Mixing], batch: Batch) -> list[float]:
        """The proxy of a supernet under each mixing. Proxies that can share work overrule this."""
        return [self.score(Masked(supernet, mixing), batch) for mixing in mixings]

    @property
    def parts(self) -> tuple["Proxy", ...]:
        """The proxies that score networks; only a combination has others than itself."""
        return (self,)

    def combine(self, columns: Sequence[Sequence[float]]) -> list[float]:
        """The scores of some networks, given each part's (a column), the higher the better."""
        [column] = columns
        return list(column)


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
# last, so that it adds only what is missing
importlib.import_module("foresight_ext.zero_cost_nas")
