"""What an architecture may cost (`at_most`) and must be (`feasible`), asked while it is being decided."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, product
from random import Random
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from foresight_ext.errors import UserError
from foresight_ext.images.batches import Images
from foresight_ext.randomness import seeded
from foresight_ext.search.costs import Costs, Sizes, in_figures, none_within, running_only
from foresight_ext.search.measured import MOST_ARCHITECTURES, Measured, Table
from foresight_ext.search.space import Space
from foresight_ext.supernets.supernet import Choice, Mixing, Node, Supernet, decide, drop

# so many architectures are tried to find one that a rule of one's own allows
_TRIED = 10_000
_NONE_MEASURED: Measured = MappingProxyType({})


class Limits:
    """Which candidates can still lead to an allowed architecture, for `discretise` (its `allowed`).

    Sizes add up (see Costs), so it is known what is undecided adds at least, and no candidate is kept, and no
    edge of a node dropped, that would not leave room for it. Measured costs are looked up in a Table.

    Args:
        supernet: whose choices are decided, and whose nodes.
        sizes: of an architecture, given as a mixing with a one-hot row for each choice that runs.
        at_most: by the names of sizes and measured costs, a number or a share of the largest architecture
            such as "60%". An architecture of which a limited cost is not known is not allowed.
        feasible: a rule of one's own, asked of a discretised mixing.
        measured: costs that are no sums, by names.

    Raises:
        UserError: an unknown name, no number, or a limit that no architecture meets.
    """

    def __init__(
        self,
        supernet: Supernet,
        sizes: Sizes,
        at_most: Mapping[str, float | str],
        feasible: Callable[[Mixing], bool] | None = None,
        measured: Measured = _NONE_MEASURED,
    ):
        self.choices, self.nodes = supernet.choices, supernet.nodes
        self.feasible = feasible
        self._supernet, self._sizes = supernet, sizes
        self.costs = Costs(supernet, sizes) if set(at_most) - set(measured) else None
        ends: dict[str, tuple[float, float]] = {}
        if self.costs is not None:
            ends = {name: (self.costs.least[name], self.costs.largest[name]) for name in self.costs.names}
        limited = {name: measured[name] for name in at_most if name in measured}
        self.table = Table(supernet, _every(supernet), limited) if limited else None
        if self.table is not None:
            ends |= {name: self.table.ends(name) for name in limited}
        names = dict.fromkeys([*ends, *measured])
        self.most = {name: _checked(ends, names, name, limit) for name, limit in at_most.items()}
        if not self._any_within():
            raise none_within(self.most)
        self._allowed: list[Mixing] = []  # architectures that were found to be
        if feasible is not None and not self._leads_on(
            tuple((1.0,) * len(c.candidates) for c in self.choices)
        ):
            raise UserError(f"feasible: no architecture was found that it allows ({_TRIED} tried at most)")

    def __call__(self, mixing: Mixing, choice: int, candidate: int | None) -> bool:
        decided = drop(mixing, choice) if candidate is None else decide(mixing, choice, candidate)
        return self._within(decided) and (self.feasible is None or self._leads_on(decided))

    def largest(self, name: str) -> Mixing:
        """The architecture of the largest size `name` that is allowed; of equals the one of the least others.

        UserError if there are too many to go through.
        """
        costs = self.costs or Costs(self._supernet, self._sizes)
        if self.table is None:
            return costs.largest_within(name, self.most)
        sums = costs.sums(self.table.kept)
        return self.table.largest([sums.pop(name), *sums.values()])

    def _any_within(self) -> bool:
        """Whether any architecture is within all limits; no other is allowed in the table from here on."""
        if self.table is not None:
            sums = self.costs.sums(self.table.kept) if self.costs is not None else {}
            every = {**sums, **self.table.costs}
            self.table.allow(np.all([every[name] <= limit for name, limit in self.most.items()], axis=0))
            return bool(self.table.allowed.any())
        return self.costs is None or self.costs.within(self.costs.free, self.most)

    def _within(self, mixing: Mixing) -> bool:
        if self.table is not None:
            return self.table.leads_on(mixing)
        return self.costs is None or self.costs.within(mixing, self.most)

    def _leads_on(self, mixing: Mixing) -> bool:
        """Whether an architecture is found that keeps what is decided and is allowed."""
        assert self.feasible is not None
        if any(_keeps(found, mixing) for found in self._allowed):
            return True
        for found in _completions(self.choices, self.nodes, mixing):
            if self._within(found) and self.feasible(found):
                self._allowed.append(found)
                return True
        return False


def sizes_of(space: Space, supernet: Supernet, images: Images, device: torch.device) -> Sizes:
    """The sizes of a space's networks for one of the images."""
    x = images.unaugmented(torch.tensor([0]), device).inputs
    return partial(space.sizes, supernet, x=x, classes=images.classes)


def measurable(space: Space, images: Images) -> tuple[Supernet, Sizes]:
    """A supernet of a space, and what tells the sizes of its architectures: what Limits take first."""
    with seeded(0):
        supernet = space.build_supernet(images.classes)
    return supernet, sizes_of(space, supernet, images, torch.device("cpu"))


def measured_of(space: Space) -> Measured:
    """The measured costs that a space offers, of discretised mixings."""

    def of(name: str, mixing: Mixing) -> float:
        return space.measured[name].get(space.genotype(mixing), math.inf)

    return {name: partial(of, name) for name in space.measured}


def _checked(
    ends: Mapping[str, tuple[float, float]], names: Iterable[str], name: str, limit: float | str
) -> float:
    """A limit as a number; `ends` are the least and the largest of what is limited, `names` what could be."""
    if name not in ends:
        raise UserError(f"at_most: there is no size '{name}': choose from {', '.join(names)}")
    least, largest = ends[name]
    text = str(limit).strip()
    try:
        most = float(text[:-1]) / 100 * largest if text.endswith("%") else float(text)
    except ValueError:
        most = math.nan
    if not 0 < most < math.inf:
        raise UserError(f"at_most {name}={limit}: it must be a positive number, or a share such as 60%")
    if most < least:
        raise UserError(f"at_most {name}={limit}: the smallest architecture has {in_figures(least)}")
    return most


def _completions(choices: Sequence[Choice], nodes: Sequence[Node], mixing: Mixing) -> Iterator[Mixing]:
    """Architectures that keep what the mixing has decided: all, or as many random ones as are tried."""
    options = _options(nodes, mixing)
    if math.prod(map(len, options)) <= _TRIED:
        return _architectures(choices, mixing, product(*options))
    draw = Random(0)
    return _architectures(choices, mixing, (list(map(draw.choice, options)) for _ in range(_TRIED)))


def _every(supernet: Supernet) -> Iterator[Mixing]:
    """All architectures, some of them several times; UserError if there are too many."""
    free: Mixing = tuple((1.0,) * len(choice.candidates) for choice in supernet.choices)
    options = _options(supernet.nodes, free)
    if (count := math.prod(map(len, options))) > MOST_ARCHITECTURES:
        raise UserError(
            f"at_most: measured costs are limited in spaces of up to {MOST_ARCHITECTURES:,} architectures, "
            f"and this one has {count:,}"
        )
    return _architectures(supernet.choices, free, product(*options))


def _options(nodes: Sequence[Node], mixing: Mixing) -> list[list[Any]]:
    """What can be kept: the candidates of each choice; what can be lost: the edges of each node."""
    options: list[list[Any]] = [[number for number, weight in enumerate(row) if weight] for row in mixing]
    options = [those or [0] for those in options]  # of a dropped edge it does not matter
    for node in nodes:
        left = [edge for edge in node.choices if any(mixing[edge])]
        options.append([set(left) - set(kept) for kept in combinations(left, node.keep)])
    return options


def _architectures(
    choices: Sequence[Choice], mixing: Mixing, several: Iterable[Sequence[Any]]
) -> Iterator[Mixing]:
    """The architectures that some picks of all options make of a mixing."""
    for kept in several:
        found = mixing
        for number, candidate in enumerate(kept[: len(choices)]):
            found = decide(found, number, candidate) if any(mixing[number]) else found
        for edge in (edge for dropped in kept[len(choices) :] for edge in dropped):
            found = drop(found, edge)
        yield running_only(choices, found)


def _keeps(found: Mixing, mixing: Mixing) -> bool:
    """Whether an architecture keeps what a mixing has decided, of the choices that run in it."""
    return all(not any(row) or mixing[number][row.index(1.0)] for number, row in enumerate(found))
