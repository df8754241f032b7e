"""Costs that were measured of whole architectures, such as latencies: what still leads below a limit."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from foresight_ext.errors import UserError
from foresight_ext.supernets.supernet import Mixing, Supernet

# a cost by its name: of the architecture that a discretised mixing is; infinity where it is not known
Measured = Mapping[str, Callable[[Mixing], float]]

# so many architectures a space may have for its measured costs to be limited
MOST_ARCHITECTURES = 1_000_000


class Table:
    """All architectures of a supernet, and which of them are allowed.

    What was measured is no sum of what candidates add, so every architecture is looked up, once. The allowed
    ones that keep a candidate are the bits of one whole number, so that a question is a few ANDs.

    Args:
        supernet: whose choices are decided, and whose nodes.
        architectures: its discretised mixings, rows of zeros for what does not run.
        measured: the costs to look up; afterwards `costs` has each one's array over the architectures.
    """

    def __init__(self, supernet: Supernet, architectures: Iterable[Mixing], measured: Measured):
        self.architectures = list(dict.fromkeys(architectures))
        # architectures x choices: the candidate that each keeps, -1 where the choice does not run
        self.kept = np.array(
            [[row.index(1.0) if any(row) else -1 for row in mixing] for mixing in self.architectures]
        )
        self.costs = {
            name: np.array([cost(mixing) for mixing in self.architectures], float)
            for name, cost in measured.items()
        }
        self._sizes = [len(choice.candidates) for choice in supernet.choices]
        self.allow(np.ones(len(self.architectures), bool))

    def ends(self, name: str) -> tuple[float, float]:
        """The least and the largest known cost; UserError if none is known."""
        known = self.costs[name][self.costs[name] < math.inf]
        if not known.size:
            raise UserError(f"at_most {name}: it is not known of any architecture of this space")
        return float(known.min()), float(known.max())

    def allow(self, which: np.ndarray) -> None:
        """Allow some of the architectures (booleans) and no others."""
        self.allowed = which
        self._all = _bits(which)
        self._with = [
            [_bits(which & (column == one)) for one in range(size)]
            for column, size in zip(self.kept.T, self._sizes)
        ]
        self._without = [_bits(which & (column < 0)) for column in self.kept.T]

    def leads_on(self, mixing: Mixing) -> bool:
        """Whether an allowed architecture keeps what a mixing has decided, of the choices that run in it."""
        left = self._all
        for row, bits, without in zip(mixing, self._with, self._without):
            if not all(row):  # else all that it may keep is left
                for weight, those in zip(row, bits):
                    without |= those if weight else 0
                left &= without
        return left != 0

    def largest(self, sizes: Sequence[np.ndarray]) -> Mixing:
        """The allowed architecture of the largest size; of equals the one of the least others."""
        first, *others = sizes
        order = np.lexsort([*reversed(others), -first])
        return self.architectures[next(number for number in order if self.allowed[number])]


def _bits(which: np.ndarray) -> int:
    """Booleans as the bits of a whole number."""
    return int.from_bytes(np.packbits(which, bitorder="little").tobytes(), "little")
