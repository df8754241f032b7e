"""The orders in which edges are decided (`--edge_decision`), Zero-Cost-PT section 4 and its ablations."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from foresight_ext.registry import Registry
from foresight_ext.search.choosing import lowest, usable

if TYPE_CHECKING:  # the orders themselves need neither numpy nor PyTorch: --help is there at once
    from numpy.random import RandomState

    from foresight_ext.supernets.supernet import Choice, Node

ORDERS: "Registry[Order]" = Registry("edge order")

# scores of every candidate of some choices, on the step's minibatch of that number
Scoring = Callable[[Sequence[int], int], dict[int, list[float]]]


class Decision(NamedTuple):
    """A choice that was decided, the candidate that stays, and the scores that decided (None: drawn)."""

    choice: int
    candidate: int
    scores: list[float] | None


class Pruning(NamedTuple):
    """A node that was decided, the choices it loses, and the scores that decided (None: drawn)."""

    node: int
    dropped: tuple[int, ...]
    scores: list[float] | None


class Visit(NamedTuple):
    """What an order draws for a step: the choice to decide and perhaps the candidate to keep."""

    choice: int
    candidate: int | None = None


class NodeVisit(NamedTuple):
    """What is drawn for a topology step: the node to decide and perhaps the choices it loses."""

    node: int
    dropped: tuple[int, ...] | None = None


class Order(ABC):
    """How the next choice is found among the undecided ones of a group, and its candidate.

    A step has `step_batches` minibatches; `opening` orders have one more before the first step and
    rank the choices on it once. Where `scores` is false, nothing is scored. What is random is drawn by
    `draw`, before anything is scored.
    """

    scores = True
    step_batches = 1
    opening = False

    def draw(self, numpy: "RandomState", undecided: list[int], choices: "Sequence[Choice]") -> Visit | None:
        """Draw for one step of one group; None if the order draws nothing."""
        return None

    def draw_node(self, numpy: "RandomState", undecided: list[int], nodes: "Sequence[Node]") -> NodeVisit:
        """The node that a group's next topology step decides: a random one, unless an order knows better."""
        return NodeVisit(int(numpy.choice(undecided, size=1)[0]))

    def rank(self, scores: dict[int, list[float]]) -> list[int]:
        """Only for opening orders: the choices in the order of their visit, by their opening scores."""
        return list(scores)

    @abstractmethod
    def decide(
        self, undecided: list[int], visit: Visit | None, ranking: list[int], score: Scoring
    ) -> Decision:
        """Decide one of the undecided choices; `ranking` holds all choices of the group."""


def _decide_at(choice: int, scores: list[float]) -> Decision:
    return Decision(choice, lowest(scores), scores)


class RandomOrder(Order):
    """A uniformly random undecided choice: the paper's default."""

    def draw(self, numpy: "RandomState", undecided: list[int], choices: "Sequence[Choice]") -> Visit | None:
        return Visit(int(numpy.choice(undecided, size=1)[0]))

    def decide(
        self, undecided: list[int], visit: Visit | None, ranking: list[int], score: Scoring
    ) -> Decision:
        assert visit is not None  # `draw` makes one
        return _decide_at(visit.choice, score([visit.choice], 0)[visit.choice])


class FixedOrder(Order):
    """The first undecided choice, or the last (`position` -1). Only the last is a rule for nodes as well."""

    def __init__(self, position: int):
        self.position = position

    def draw_node(self, numpy: "RandomState", undecided: list[int], nodes: "Sequence[Node]") -> NodeVisit:
        if self.position == -1:
            return NodeVisit(undecided[-1])
        return super().draw_node(numpy, undecided, nodes)

    def decide(
        self, undecided: list[int], visit: Visit | None, ranking: list[int], score: Scoring
    ) -> Decision:
        choice = undecided[self.position]
        return _decide_at(choice, score([choice], 0)[choice])


class SampleOrder(Order):
    """No scores: a random choice gets a random candidate. The paper's random-sampling baseline."""

    scores = False

    def draw(self, numpy: "RandomState", undecided: list[int], choices: "Sequence[Choice]") -> Visit | None:
        choice = int(numpy.choice(undecided, size=1)[0])
        candidates = range(len(choices[choice].candidates))
        return Visit(choice, int(numpy.choice(candidates, size=1)[0]))

    def draw_node(self, numpy: "RandomState", undecided: list[int], nodes: "Sequence[Node]") -> NodeVisit:
        node = int(numpy.choice(undecided, size=1)[0])
        remaining, dropped = list(nodes[node].choices), []
        while len(remaining) > nodes[node].keep:
            dropped.append(int(numpy.choice(remaining, size=1)[0]))
            remaining.remove(dropped[-1])
        return NodeVisit(node, tuple(dropped))

    def decide(
        self, undecided: list[int], visit: Visit | None, ranking: list[int], score: Scoring
    ) -> Decision:
        assert visit is not None and visit.candidate is not None  # `draw` makes both
        return Decision(visit.choice, visit.candidate, None)


def _best(row: Sequence[float]) -> float:
    """A choice by its best candidate, what global-op orders compare; NaN if no score is usable."""
    return min(usable(row), default=math.nan)


def _mean(row: Sequence[float]) -> float:
    """A choice by the mean over its candidates' usable scores, what global-edge orders compare."""
    scores = usable(row)
    return sum(scores) / len(scores) if scores else math.nan


class GreedyOrder(Order):
    """Score every candidate of every undecided choice and decide the choice of the lowest value.

    By its best candidate (global-op-iter) that candidate is kept; by its mean (global-edge-iter) the
    choice's candidates are scored again on a second minibatch.
    """

    def __init__(self, value: Callable[[Sequence[float]], float], step_batches: int):
        self.value = value
        self.step_batches = step_batches

    def decide(
        self, undecided: list[int], visit: Visit | None, ranking: list[int], score: Scoring
    ) -> Decision:
        scores = score(undecided, 0)
        choice = undecided[lowest([self.value(scores[one]) for one in undecided])]
        if self.step_batches == 2:
            scores = score([choice], 1)
        return _decide_at(choice, scores[choice])


class OnceOrder(Order):
    """Score every candidate of every choice once, visit choices by that value, score again at the turn."""

    opening = True

    def __init__(self, value: Callable[[Sequence[float]], float]):
        self.value = value

    def rank(self, scores: dict[int, list[float]]) -> list[int]:
        remaining, ranking = list(scores), []
        while remaining:
            ranking.append(remaining.pop(lowest([self.value(scores[one]) for one in remaining])))
        return ranking

    def decide(
        self, undecided: list[int], visit: Visit | None, ranking: list[int], score: Scoring
    ) -> Decision:
        choice = next(one for one in ranking if one in undecided)
        return _decide_at(choice, score([choice], 0)[choice])


ORDERS.register("random", RandomOrder(), "a uniformly random undecided edge, the paper's default")
ORDERS.register("order", FixedOrder(0), "the first undecided edge")
ORDERS.register("reverse", FixedOrder(-1), "the last undecided edge")
ORDERS.register(
    "global_op_greedy",
    GreedyOrder(_best, step_batches=1),
    "the edge of the best operation of all undecided edges, scored anew each time",
)
ORDERS.register("global_op_once", OnceOrder(_best), "edges by their best operation, ranked once")
ORDERS.register(
    "global_edge_greedy",
    GreedyOrder(_mean, step_batches=2),
    "the edge of the best mean over its operations, scored anew each time",
)
ORDERS.register("global_edge_once", OnceOrder(_mean), "edges by the mean over their operations, ranked once")
ORDERS.register("sample", SampleOrder(), "no scores: a random edge gets a random operation")
