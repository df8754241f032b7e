"""What each candidate adds to the sizes of an architecture, and which sums can still be reached."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from foresight_ext.errors import UserError
from foresight_ext.supernets.supernet import Choice, Mixing, Node, Supernet, drop

# the sizes of the architecture that a discretised mixing is, by their names
Sizes = Callable[[Mixing], Mapping[str, float]]

# cells of the table in which the largest architecture within limits is looked up
_MOST_CELLS = 2**24


class Sum(NamedTuple):
    """What decided choices add to each size, and the decisions: pairs of a choice and its candidate."""

    adds: tuple[float, ...]
    kept: tuple[tuple[int, int], ...] = ()


# which of some sums go on, such as the least ones
Reduce = Callable[[list[Sum]], list[Sum]]
Edges = tuple[int, ...]


def in_figures(size: float) -> str:
    """A size as people read it: 1,234,567 or 18.25."""
    return f"{size:,.0f}" if size >= 1000 or size == int(size) else f"{size:.4g}"


def none_within(most: Mapping[str, float]) -> UserError:
    """What to raise if limits are met one by one, but not together."""
    told = ",".join(f"{name}={in_figures(number)}" for name, number in most.items())
    return UserError(f"at_most {told}: no architecture is within all of these limits")


class Costs:
    """The sizes of all architectures of a supernet, as sums.

    Each kept candidate adds what it adds whatever the others are, and a dropped edge of a node adds nothing.
    So as many architectures are measured as there are candidates. UserError if two more, the largest and the
    smallest, are not what the sums say.

    A place is a choice that stands alone, or a node with its edges; `least` and `largest` are the sizes of
    the smallest and the largest architecture.
    """

    def __init__(self, supernet: Supernet, sizes: Sizes):
        self.choices, self.nodes = supernet.choices, supernet.nodes
        self._sizes = sizes
        self._node_of = {edge: number for number, node in enumerate(self.nodes) for edge in node.choices}
        self._inner: dict[tuple[int, int] | None, list[int]] = {}
        for number, choice in enumerate(self.choices):
            self._inner.setdefault(choice.within, []).append(number)
        self._members = {place: frozenset(self._choices_in(place)) for place in self._places(None)}
        self.free: Mixing = tuple((1.0,) * len(choice.candidates) for choice in self.choices)
        first = self._architecture()
        self.names = tuple(sizes(first))
        self._rows = [self._candidates_of(number) for number in range(len(self.choices))]
        kept = [edge for node in self.nodes for edge in node.choices[: node.keep]]
        in_nodes = [sum(self._rows[edge][0][k] for edge in kept) for k in range(len(self.names))]
        self._base = tuple(size - part for size, part in zip(self._measured(first), in_nodes))
        self._front = lru_cache(maxsize=10_000)(self._least_sums)
        smallest, largest = self._ends(min), self._ends(max)
        self.least = {name: one.adds[k] for k, (name, one) in enumerate(zip(self.names, smallest))}
        self.largest = {name: one.adds[k] for k, (name, one) in enumerate(zip(self.names, largest))}
        for end in (smallest[0], largest[0]):
            real = self._measured(self.mixing(end.kept))
            if not all(math.isclose(*pair, rel_tol=1e-9) for pair in zip(end.adds, real)):
                raise UserError("at_most: sizes of this space are no sums of what each candidate adds")

    def mixing(self, kept: Iterable[tuple[int, int]]) -> Mixing:
        """The discretised mixing of an architecture: rows of zeros for what does not run."""
        rows = [(0.0,) * len(choice.candidates) for choice in self.choices]
        for choice, candidate in kept:
            rows[choice] = _one_hot(self.choices[choice], candidate)
        return tuple(rows)

    def sums(self, kept: np.ndarray) -> dict[str, np.ndarray]:
        """The sizes of some architectures, by names.

        `kept` (architectures x choices) is the candidate that each choice keeps, -1 where it does not run.
        """
        found = {name: np.full(len(kept), base, float) for name, base in zip(self.names, self._base)}
        for column, rows in zip(kept.T, self._rows):
            for name, adds in zip(self.names, zip(*rows)):
                found[name] += np.array([*adds, 0.0])[column]  # -1 is the last one
        return found

    def within(self, mixing: Mixing, most: Mapping[str, float]) -> bool:
        """Whether an architecture that keeps what the mixing has decided is as small as `most`, by names."""
        which = tuple(map(self.names.index, most))
        limits = tuple(most.values())
        fronts = [self._front(which, place, self._state(place, mixing)) for place in self._places(None)]
        if not all(fronts):
            return False
        least = [[min(column) for column in zip(*front)] for front in fronts]
        sums = [tuple(self._base[k] for k in which)]
        for number, front in enumerate(fronts):
            rest = [sum(column) for column in zip(*least[number + 1 :])] or [0.0] * len(which)
            several = {tuple(map(sum, zip(*pair))) for pair in product(sums, front)}
            fit = [one for one in several if all(a + b <= c for a, b, c in zip(one, rest, limits))]
            sums = _undominated(fit)
        return bool(sums)

    def largest_within(self, name: str, most: Mapping[str, float]) -> Mixing:
        """The architecture of the largest size `name` within limits; of equals the one of the least others.

        Exact. UserError if no architecture is within the limits, or there are too many sums to go through.
        """
        which = self.names.index(name)
        if not most:
            return self.mixing(self._ends(max)[which].kept)
        others = [other for other in most if other != name]
        if len(others) > 1:
            raise UserError(f"at_most: the largest {name} is found within one other limit, not {len(others)}")
        pair = (which, self.names.index(others[0]) if others else which)

        def lightest(sums: list[Sum]) -> list[Sum]:
            best: dict[float, Sum] = {}
            for one in sums:
                there = best.setdefault(one.adds[pair[0]], one)
                if one.adds[pair[1]] < there.adds[pair[1]]:
                    best[one.adds[pair[0]]] = one
            return list(best.values())

        places = [self._of_place(place, self.free, lightest) for place in self._places(None)]
        room = most.get(name, math.inf) - self._base[which]
        room_other = most[others[0]] - self._base[pair[1]] if others else math.inf
        kept = _fullest(places, pair, room, room_other)
        if kept is None:
            raise none_within(most)
        return self.mixing(kept)

    # ---- sums ----

    def _places(self, within: tuple[int, int] | None) -> list[Node | int]:
        """The places in a candidate of a choice; None: the outermost ones."""
        found: dict[Node | int, None] = {}
        for choice in self._inner.get(within, ()):
            found[self.nodes[self._node_of[choice]] if choice in self._node_of else choice] = None
        return list(found)

    def _of_place(self, place: Node | int, mixing: Mixing, reduce: Reduce) -> list[Sum]:
        """What a place can still add, one for each architecture, less what `reduce` leaves out."""
        if isinstance(place, int):
            return self._of_choice(place, mixing, reduce)
        fronts = {edge: self._of_choice(edge, mixing, reduce) for edge in place.choices if any(mixing[edge])}
        found: list[Sum] = []
        for edges in combinations(fronts, place.keep):
            found = reduce(found + self._merged([fronts[edge] for edge in edges], reduce))
        return found

    def _of_choice(self, choice: int, mixing: Mixing, reduce: Reduce) -> list[Sum]:
        found: list[Sum] = []
        for candidate, weight in enumerate(mixing[choice]):
            if weight:
                own = [Sum(self._rows[choice][candidate], ((choice, candidate),))]
                inner = [self._of_place(one, mixing, reduce) for one in self._places((choice, candidate))]
                found += self._merged([own, *inner], reduce)
        return reduce(found)

    def _merged(self, fronts: Sequence[list[Sum]], reduce: Reduce) -> list[Sum]:
        """A sum of each front, added up, in every combination."""
        found = [Sum((0.0,) * len(self.names))]
        for front in fronts:
            found = reduce([_added(*pair) for pair in product(found, front)])
        return found

    def _least_sums(
        self, which: tuple[int, ...], place: Node | int, state: tuple[tuple[bool, ...], ...]
    ) -> list[tuple[float, ...]]:
        """The sums of a place that no other one undercuts in all of the sizes `which`."""
        mixing = tuple(tuple(map(float, row)) for row in state)

        def least(sums: list[Sum]) -> list[Sum]:
            by_size = {tuple(one.adds[k] for k in which): one for one in sums}
            return [by_size[size] for size in _undominated(list(by_size))]

        return [tuple(one.adds[k] for k in which) for one in self._of_place(place, mixing, least)]

    def _state(self, place: Node | int, mixing: Mixing) -> tuple[tuple[bool, ...], ...]:
        """What of a mixing a place depends on: the candidates that are left of its choices."""
        mine = self._members[place]
        return tuple(tuple(map(bool, row)) if n in mine else () for n, row in enumerate(mixing))

    def _choices_in(self, place: Node | int) -> set[int]:
        """The choices of a place, those in its candidates too."""
        found: set[int] = set()
        for choice in (place,) if isinstance(place, int) else place.choices:
            found.add(choice)
            for candidate in range(len(self.choices[choice].candidates)):
                found.update(*map(self._choices_in, self._places((choice, candidate))))
        return found

    def _ends(self, pick: Callable[..., Sum]) -> list[Sum]:
        """The smallest (by min) or the largest (by max) architecture in each size, the first of equals."""
        found = []
        for k in range(len(self.names)):

            def one(sums: list[Sum], k: int = k) -> list[Sum]:
                return [pick(sums, key=lambda sum: sum.adds[k])]

            fronts = [self._of_place(place, self.free, one) for place in self._places(None)]
            [end] = self._merged([[Sum(self._base)], *fronts], one)
            found.append(end)
        return found

    # ---- measuring ----

    def _measured(self, mixing: Mixing) -> tuple[float, ...]:
        return tuple(self._sizes(mixing)[name] for name in self.names)

    def _architecture(self, running: int | None = None, candidate: int = 0, edges: Edges = ()) -> Mixing:
        """First candidates and first edges, but for what lets the choice `running` run with its candidate.

        `edges` are those that its node keeps.
        """
        wanted: dict[int, int] = {}
        kept = [node.choices[: node.keep] for node in self.nodes]
        while running is not None:
            wanted[running] = candidate
            node = self._node_of.get(running)
            if node is not None and edges:
                kept[node] = edges
            elif node is not None and running not in kept[node]:
                kept[node] = (*kept[node][:-1], running)
            running, candidate = self.choices[running].within or (None, 0)
            edges = ()
        rows = tuple(_one_hot(choice, wanted.get(n, 0)) for n, choice in enumerate(self.choices))
        for one, those in zip(self.nodes, kept):
            for edge in set(one.choices) - set(those):
                rows = drop(rows, edge)
        return running_only(self.choices, rows)

    def _candidates_of(self, number: int) -> list[tuple[float, ...]]:
        """What each candidate of a choice adds, over the first one (in a node: over that of another edge)."""
        several = range(len(self.choices[number].candidates))
        found = [self._measured(self._architecture(number, one)) for one in several]
        more = self._over_the_last_edge(number) if number in self._node_of else (0.0,) * len(self.names)
        return [tuple(size - first + c for size, first, c in zip(one, found[0], more)) for one in found]

    def _over_the_last_edge(self, edge: int) -> tuple[float, ...]:
        """What an edge's first candidate adds more than that of the last of its node's first edges."""
        node = self.nodes[self._node_of[edge]]
        first, others = node.choices[: node.keep], node.choices[node.keep :]
        if edge == first[-1] or not others:
            return (0.0,) * len(self.names)
        if edge in others:
            larger, smaller = (*first[:-1], edge), first
        else:  # whatever stands beside them
            larger = (*first[:-1], others[0])
            smaller = (*(one for one in first if one != edge), others[0])
        pair = [self._measured(self._architecture(edges[-1], 0, edges)) for edges in (larger, smaller)]
        return tuple(a - b for a, b in zip(*pair))


def running_only(choices: Sequence[Choice], mixing: Mixing) -> Mixing:
    """The mixing, with rows of zeros for choices that do not run."""
    rows: list[tuple[float, ...]] = []
    for choice, row in zip(choices, mixing):
        runs = choice.within is None or rows[choice.within[0]][choice.within[1]]
        rows.append(row if runs else (0.0,) * len(row))
    return tuple(rows)


def _one_hot(choice: Choice, candidate: int) -> tuple[float, ...]:
    return tuple(float(number == candidate) for number in range(len(choice.candidates)))


def _added(first: Sum, second: Sum) -> Sum:
    return Sum(tuple(a + b for a, b in zip(first.adds, second.adds)), first.kept + second.kept)


def _undominated(sizes: Iterable[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Those that no other one undercuts, or equals, in all sizes."""
    found: list[tuple[float, ...]] = []
    for one in sorted(set(sizes)):
        if not any(all(a <= b for a, b in zip(other, one)) for other in found):
            found.append(one)
    return found


def _fullest(
    places: Sequence[list[Sum]], pair: tuple[int, int], room: float, room_other: float
) -> tuple[tuple[int, int], ...] | None:
    """The decisions of the largest sum in the first of two sizes that fits in both rooms; None if none does.

    A table over all sums of the first size holds the least of the second (a knapsack's dynamic programme).
    """
    first, second = pair
    least = [min(one.adds[first] for one in place) for place in places]
    most = sum(max(one.adds[first] for one in place) for place in places)
    steps = [round(one.adds[first] - low) for place, low in zip(places, least) for one in place]
    unit = math.gcd(*steps) or 1
    room = min(room, most) - sum(least)
    if room < 0:
        return None
    cells = int(room // unit) + 1
    if cells > _MOST_CELLS:
        raise UserError(
            f"at_most: {cells:,} sums are too many to go through for the exact answer: leave the limit out"
        )
    table = np.full(cells, math.inf)
    table[0] = 0
    picks = []
    for place, low in zip(places, least):
        new, pick = np.full(cells, math.inf), np.zeros(cells, np.int16)
        for number, one in enumerate(place):
            step = round(one.adds[first] - low) // unit
            if step < cells:
                sums = table[: cells - step] + one.adds[second]
                better = sums < new[step:]
                new[step:][better] = sums[better]
                pick[step:][better] = number
        table = new
        picks.append(pick)
    fits = np.flatnonzero(table <= min(room_other, np.finfo(np.float64).max))
    if not len(fits):
        return None
    cell, kept = int(fits[-1]), ()
    for place, low, pick in reversed(list(zip(places, least, picks))):
        one = place[pick[cell]]
        kept = one.kept + kept
        cell -= round(one.adds[first] - low) // unit
    return kept
