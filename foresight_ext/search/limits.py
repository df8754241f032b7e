"""What an architecture may cost (`at_most`) and must be (`feasible`), asked while it is being decided."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, product
from random import Random
from typing import Any

import torch

from foresight_ext.errors import UserError
from foresight_ext.images.batches import Images
from foresight_ext.search.costs import Costs, Sizes, none_within, running_only
from foresight_ext.search.space import Space
from foresight_ext.supernets.supernet import Choice, Mixing, Node, Supernet, decide, drop

# so many architectures are tried to find one that a rule of one's own allows
_TRIED = 10_000


class Limits:
    """Which candidates can still lead to an allowed architecture, for `discretise` (its `allowed`).

    Sizes add up (see Costs), so it is known what is undecided adds at least, and no candidate is kept, and no
    edge of a node dropped, that would not leave room for it.

    Args:
        supernet: whose choices are decided, and whose nodes.
        sizes: of an architecture, given as a mixing with a one-hot row for each choice that runs.
        at_most: by the sizes' names, a number or a share of the largest architecture such as "60%".
        feasible: a rule of one's own, asked of a discretised mixing.

    Raises:
        UserError: an unknown size, no number, or a limit that no architecture meets.
    """

    def __init__(
        self,
        supernet: Supernet,
        sizes: Sizes,
        at_most: Mapping[str, float | str],
        feasible: Callable[[Mixing], bool] | None = None,
    ):
        self.choices, self.nodes = supernet.choices, supernet.nodes
        self.feasible = feasible
        self.costs = Costs(supernet, sizes) if at_most else None
        self.most: dict[str, float] = {}
        if self.costs is not None:
            self.most = most_of(self.costs, at_most)
        self._allowed: list[Mixing] = []  # architectures that were found to be
        if feasible is not None and not self._leads_on(
            tuple((1.0,) * len(c.candidates) for c in self.choices)
        ):
            raise UserError(f"feasible: no architecture was found that it allows ({_TRIED} tried at most)")

    def __call__(self, mixing: Mixing, choice: int, candidate: int | None) -> bool:
        decided = drop(mixing, choice) if candidate is None else decide(mixing, choice, candidate)
        return self._within(decided) and (self.feasible is None or self._leads_on(decided))

    def _within(self, mixing: Mixing) -> bool:
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


def most_of(costs: Costs, at_most: Mapping[str, float | str]) -> dict[str, float]:
    """The limits as numbers; UserError for an unknown size, no number, or what no architecture meets."""
    most = {name: _checked(costs, name, limit) for name, limit in at_most.items()}
    if not costs.within(costs.free, most):
        raise none_within(most)
    return most


def sizes_of(space: Space, supernet: Supernet, images: Images, device: torch.device) -> Sizes:
    """The sizes of a space's networks for one of the images."""
    x = images.unaugmented(torch.tensor([0]), device).inputs
    return partial(space.sizes, supernet, x=x, classes=images.classes)


def _checked(costs: Costs, name: str, limit: float | str) -> float:
    if name not in costs.least:
        raise UserError(f"at_most: there is no size '{name}': choose from {', '.join(costs.least)}")
    largest, least = costs.largest[name], costs.least[name]
    text = str(limit).strip()
    try:
        most = float(text[:-1]) / 100 * largest if text.endswith("%") else float(text)
    except ValueError:
        most = math.nan
    if not 0 < most < math.inf:
        raise UserError(f"at_most {name}={limit}: it must be a positive number, or a share such as 60%")
    if most < least:
        raise UserError(f"at_most {name}={limit}: the smallest architecture has {least:,.0f}")
    return most


def _completions(choices: Sequence[Choice], nodes: Sequence[Node], mixing: Mixing) -> Iterator[Mixing]:
    """Architectures that keep what the mixing has decided: all, or as many random ones as are tried."""
    options: list[list[Any]] = [[number for number, weight in enumerate(row) if weight] for row in mixing]
    options = [those or [0] for those in options]  # of a dropped edge it does not matter
    for node in nodes:
        left = [edge for edge in node.choices if any(mixing[edge])]
        options.append([set(left) - set(kept) for kept in combinations(left, node.keep)])
    several: Iterator[Sequence[Any]]
    if math.prod(map(len, options)) <= _TRIED:
        several = product(*options)
    else:
        draw = Random(0)
        several = (list(map(draw.choice, options)) for _ in range(_TRIED))
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
