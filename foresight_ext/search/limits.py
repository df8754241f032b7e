"""What an architecture may cost (`at_most`) and must be (`feasible`), asked while it is being decided."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from random import Random

from foresight_ext.errors import UserError
from foresight_ext.supernets.supernet import Choice, Mixing, Supernet, decide

# the sizes of the architecture that a discretised mixing is, by their names
Sizes = Callable[[Mixing], Mapping[str, float]]

# so many architectures are tried to find one that a rule of one's own allows
_TRIED = 10_000


class Limits:
    """Which candidates can still lead to an allowed architecture, for `discretise` (its `allowed`).

    Sizes add up: each choice's candidate adds what it adds whatever the others are. So what an undecided
    choice adds at least is known, and no candidate is kept that would not leave room for it.

    Args:
        supernet: whose choices are decided; it has no nodes.
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
        if supernet.nodes:
            raise UserError(
                "at_most: a space whose nodes lose edges can't be limited while it is discretised"
            )
        self.choices = supernet.choices
        self.feasible = feasible
        self._costs = _Costs(supernet, sizes) if at_most else None
        self._most: dict[str, float] = {}
        if self._costs is not None:
            for name, limit in at_most.items():
                self._most[name] = self._checked(self._costs, name, limit)
        self._allowed: list[Mixing] = []  # architectures that were found to be
        if feasible is not None and not self._leads_on(
            tuple((1.0,) * len(c.candidates) for c in self.choices)
        ):
            raise UserError(f"feasible: no architecture was found that it allows ({_TRIED} tried at most)")

    def __call__(self, mixing: Mixing, choice: int, candidate: int) -> bool:
        decided = decide(mixing, choice, candidate)
        return self._within(decided) and (self.feasible is None or self._leads_on(decided))

    def _checked(self, costs: "_Costs", name: str, limit: float | str) -> float:
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

    def _within(self, mixing: Mixing) -> bool:
        if self._costs is None:
            return True
        return all(self._costs.bound(name, mixing) <= most for name, most in self._most.items())

    def _leads_on(self, mixing: Mixing) -> bool:
        """Whether an architecture is found that keeps what is decided and is allowed."""
        assert self.feasible is not None
        if any(_keeps(found, mixing) for found in self._allowed):
            return True
        for found in _completions(self.choices, mixing):
            if self._within(found) and self.feasible(found):
                self._allowed.append(found)
                return True
        return False


class _Costs:
    """What each candidate adds to each size, over an architecture of first candidates.

    `least` and `largest` are the sizes of the smallest and the largest architecture.
    """

    def __init__(self, supernet: Supernet, sizes: Sizes):
        self.choices = supernet.choices
        first = tuple(_one_hot(choice, 0) for choice in self.choices)
        self._base = dict(sizes(_running(self.choices, first)))
        self._adds: dict[str, list[list[float]]] = {name: [] for name in self._base}
        for number, choice in enumerate(self.choices):
            around = first
            inner: Choice = choice
            while inner.within is not None:  # let the choice run
                around = decide(around, *inner.within)
                inner = self.choices[inner.within[0]]
            found = [
                sizes(_running(self.choices, decide(around, number, candidate)))
                for candidate in range(len(choice.candidates))
            ]
            for name, rows in self._adds.items():
                rows.append([one[name] - found[0][name] for one in found])
        free = tuple((1.0,) * len(choice.candidates) for choice in self.choices)
        self.least = {name: self.bound(name, free) for name in self._base}
        self.largest = {name: self.bound(name, free, max) for name in self._base}

    def bound(self, name: str, mixing: Mixing, pick: Callable[[Sequence[float]], float] = min) -> float:
        """The least (or by max the largest) size of architectures that keep what the mixing has decided."""
        adds = self._adds[name]

        def of(number: int) -> float:
            inner = [
                [other for other, one in enumerate(self.choices) if one.within == (number, candidate)]
                for candidate in range(len(mixing[number]))
            ]
            return pick(
                [
                    adds[number][candidate] + sum(map(of, inner[candidate]))
                    for candidate, weight in enumerate(mixing[number])
                    if weight
                ]
            )

        outermost = (number for number, choice in enumerate(self.choices) if choice.within is None)
        return self._base[name] + sum(map(of, outermost))


def _completions(choices: Sequence[Choice], mixing: Mixing) -> Iterator[Mixing]:
    """Architectures that keep what the mixing has decided: all, or as many random ones as are tried."""
    options = [[number for number, weight in enumerate(row) if weight] for row in mixing]
    several: Iterator[Sequence[int]]
    if math.prod(map(len, options)) <= _TRIED:
        several = product(*options)
    else:
        draw = Random(0)
        several = (list(map(draw.choice, options)) for _ in range(_TRIED))
    for kept in several:
        rows = [_one_hot(*pair) for pair in zip(choices, kept)]
        yield _running(choices, tuple(rows))


def _keeps(found: Mixing, mixing: Mixing) -> bool:
    """Whether an architecture keeps what a mixing has decided, of the choices that run in it."""
    return all(not any(row) or mixing[number][row.index(1.0)] for number, row in enumerate(found))


def _running(choices: Sequence[Choice], mixing: Mixing) -> Mixing:
    """The mixing, with rows of zeros for choices that do not run."""
    rows: list[tuple[float, ...]] = []
    for choice, row in zip(choices, mixing):
        runs = choice.within is None or rows[choice.within[0]][choice.within[1]]
        rows.append(row if runs else (0.0,) * len(row))
    return tuple(rows)


def _one_hot(choice: Choice, candidate: int) -> tuple[float, ...]:
    return tuple(float(number == candidate) for number in range(len(choice.candidates)))
