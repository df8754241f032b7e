"""The published architectures that a search can give: which search, and how far another one agrees."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sota.cnn.candidates import CANDIDATES, CELL_TYPES, NODES
from sota.cnn.genotypes import ARCHITECTURES
from sota.cnn.notation import Genotype, differences

PLACES = 2 * len(CELL_TYPES) * len(NODES)
# names, and what they do not say: N and V of S1 to S4 and of the largest networks, whose edges are scored
# (their reduction cells read inputs 0 and 1), are taken for the defaults, the V of random ones for 1; which
# global order: by this one seed 0's first member has the published operations, but for one near tie
_NAMES = (
    (r"init_pt_(?P<space>s[1-4])_C10_(?P<seed>\d+)", {"order": "random", "N": 10, "V": 100}),
    (r"init_pt_(?P<space>s5)_C10_(?P<seed>\d+)_N(?P<N>1)", {"order": "random", "V": 0}),
    (r"init_pt_(?P<space>s5)_C10_(?P<seed>\d+)_(?P<V>\d+)_N(?P<N>\d+)", {"order": "random"}),
    (r"global_pt_(?P<space>s5)_C10_(?P<seed>\d+)_(?P<V>\d+)_N(?P<N>\d+)", {"order": "global_op_greedy"}),
    (r"sample_(?P<N>\d+)_(?P<seed>\d+)", {"space": "s5", "order": "sample", "V": 1}),
    (r"random_max_(?P<seed>\d+)", {"space": "s6", "order": "random", "N": 10, "V": 100}),
)


@dataclass(frozen=True)
class Published:
    """A reported architecture on CIFAR-10, and the search that it came from (`V` 0: not validated)."""

    name: str
    space: str
    seed: int
    order: str
    N: int
    V: int

    @property
    def genotype(self) -> Genotype:
        return ARCHITECTURES.get(self.name)


def published() -> list[Published]:
    """All that a search on CIFAR-10 can give, the paper's main result first."""
    found = []
    for name in ARCHITECTURES:
        for pattern, more in _NAMES:
            if match := re.fullmatch(pattern, name):
                told: dict[str, Any] = {**more, **match.groupdict()}
                numbers = (int(told[key]) for key in ("N", "V"))
                found.append(Published(name, told["space"], int(told["seed"]), told["order"], *numbers))
                break
    main = re.compile(r"init_pt_s5_C10_\d+_100_N10")
    return sorted(found, key=lambda one: main.fullmatch(one.name) is None)


def agreeing(genotype: Genotype, other: Genotype) -> int:
    """In how many of the PLACES two architectures agree."""
    return PLACES - len(differences(genotype, other))


@dataclass(frozen=True)
class Parting:
    """A decision that went another way than a published architecture asks for.

    `margin` is by how much the score of what was `kept` is ahead of that of what was `published` (of several
    inputs kept in place of one, the nearest's); `number` is the decision's, from 1, in its pool member.
    """

    number: int
    place: str
    kept: str
    published: str
    margin: float

    def __str__(self) -> str:
        return f"{self.place}: {self.kept} for {self.published}, {self.margin:.3g}"


def partings(entries: Sequence[dict[str, Any]], space: str, other: Genotype) -> list[Parting]:
    """Where the decisions of a pool member, as they stand in search.jsonl, part from an architecture.

    In the order in which they were taken: the first is where the member left its way, those after it may
    follow from that. Operations of edges that the architecture has not kept are not known, and not compared.
    """
    wanted = {
        (cell, number // 2, source): operation
        for cell in CELL_TYPES
        for number, (operation, source) in enumerate(getattr(other, cell))
    }
    found = []
    for number, entry in enumerate((one for one in entries if one["scores"]), start=1):
        scores = [float(score) for score in entry["scores"]]
        if "node" in entry:
            cell, node = entry["node"].split()
            dropped = {_source(name) for name in entry["dropped"]}
            kept = [source for source in range(len(scores)) if source not in dropped]
            lost = [source for source in dropped if (cell, int(node) - 2, source) in wanted]
            wrong = [source for source in kept if (cell, int(node) - 2, source) not in wanted]
            pairs = (
                min((scores[right] - scores[source], source, right) for source in wrong) for right in lost
            )
            found += [
                Parting(number, entry["node"], f"input {source}", f"input {right}", abs(margin))
                for margin, source, right in sorted(pairs)
            ]
            continue
        cell, edge = entry["choice"].split()
        node, source = int(edge.partition("<-")[0]) - 2, _source(entry["choice"])
        operation = wanted.get((cell, node, source), entry["candidate"])
        names = _candidates(space, cell, node, source)
        if operation != entry["candidate"] and operation in names:
            margin = scores[names.index(operation)] - scores[names.index(entry["candidate"])]
            found.append(Parting(number, entry["choice"], entry["candidate"], operation, margin))
    return found


@dataclass(frozen=True)
class Difference:
    """A place where a pool member is not as published, and the decision that it goes back to.

    `kept` and `published` are an operation and its input. Another operation goes back to its edge's decision,
    another input to its node's. None stands where nothing was scored, as in random networks.
    """

    place: str
    kept: str
    published: str
    decision: Parting | None

    def as_written(self) -> dict[str, Any]:
        """What tables hold."""
        told = self.decision
        return {
            "place": self.place,
            "kept": self.kept,
            "published": self.published,
            "decision": told and told.number,
            "decided": told and f"{told.place}: {told.kept} for {told.published}",
            "margin": told and told.margin,
        }


def places(
    entries: Sequence[dict[str, Any]], space: str, genotype: Genotype, other: Genotype
) -> list[Difference]:
    """Where a pool member, whose decisions stand in search.jsonl, is not as an architecture is."""
    decisions: dict[str, list[Parting]] = {}
    for parting in partings(entries, space, other):
        decisions.setdefault(parting.place, []).append(parting)
    found = []
    for cell in CELL_TYPES:
        for number, pair in enumerate(zip(getattr(genotype, cell), getattr(other, cell))):
            (kept, source), (wanted, right) = pair
            if (kept, source) == (wanted, right):
                continue
            node = f"{cell} {number // 2 + 2}"
            told = decisions.get(f"{node}<-{source}" if source == right else node, [])
            # an input that stands elsewhere in both is there because of the other one
            mine = [one for one in told if one.published == f"input {right}"] or told
            where = f"{node}, {('first', 'second')[number % 2]}"
            found.append(
                Difference(where, f"{kept}@{source}", f"{wanted}@{right}", mine[0] if mine else None)
            )
    return found


def _source(choice: str) -> int:
    return int(choice.partition("<-")[2])


def _candidates(space: str, cell: str, node: int, source: int) -> tuple[str, ...]:
    edge = sum(2 + other for other in range(node)) + source
    return CANDIDATES[space][CELL_TYPES.index(cell)][edge]
