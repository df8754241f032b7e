"""The pure core of the method: a supernet and minibatches become one architecture, decision by decision."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from numpy.random import RandomState
from torch import Tensor

from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch, checked_pair, recycled
from foresight_ext.measures.combination import proxy_of
from foresight_ext.measures.proxy import Proxy
from foresight_ext.randomness import mixed_seed, seeded
from foresight_ext.search.choosing import NoScore, dropped_edges
from foresight_ext.search.orders import ORDERS, Decision, NodeVisit, Order, Pruning, Visit
from foresight_ext.search.scoring import Allowed, edge_scores, operation_scores
from foresight_ext.supernets.supernet import Choice, Mixing, Node, Supernet, decide, drop

# what is given as minibatches: of each a Batch, or a pair of images (n x C x H x W) and labels (n)
Batches = Iterable[Batch | Sequence[Tensor]]


@dataclass(frozen=True)
class Plan:
    """An order with all that it draws for one discretisation of a supernet, before anything is scored.

    A step decides a choice (or a node) of each group that is not finished: `operation_steps` and
    `topology_steps` hold the visit of each, which is None where the scores decide which choice goes.
    """

    order: Order
    groups: tuple[tuple[int, ...], ...]
    operation_steps: tuple[tuple[tuple[int, Visit | None], ...], ...]
    topology_steps: tuple[tuple[NodeVisit, ...], ...]

    @property
    def minibatches(self) -> int:
        """How many minibatches the discretisation takes: none where nothing is scored."""
        if not self.order.scores:
            return 0
        operations = len(self.operation_steps) * self.order.step_batches
        return int(self.order.opening) + operations + len(self.topology_steps)


@dataclass(frozen=True)
class Discretisation:
    """What a supernet became. `mixing` has a one-hot row for each choice, of zeros where it was dropped.

    `kept` tells the same by names (None: dropped); a choice that stands in a candidate that was not kept is
    absent. `decisions` are all of them with their scores, in the order in which they were taken.
    """

    mixing: Mixing
    kept: dict[str, str | None]
    decisions: list[Decision | Pruning]


def draw_plan(
    order: Order,
    supernet: Supernet,
    numpy: RandomState,
    choices: Sequence[int] | None = None,
    nodes: Sequence[int] | None = None,
) -> Plan:
    """Draw a plan to decide the choices and nodes of those indices; None means all."""
    groups = _by_group(supernet.choices, choices)
    operation_steps = []
    undecided = [list(group) for group in groups]
    while any(undecided):
        visits = []
        for number, group in enumerate(undecided):
            if group:  # groups that are finished wait for larger ones
                visit = order.draw(numpy, group, supernet.choices)
                visits.append((number, visit))
                # without a drawn visit the scores decide which choice goes; here only the number counts
                group.remove(visit.choice if visit else group[-1])
        operation_steps.append(tuple(visits))
    topology_steps = []
    undecided = [list(group) for group in _by_group(supernet.nodes, nodes)]
    while any(undecided):
        drawn = []
        for group in filter(None, undecided):
            drawn.append(order.draw_node(numpy, group, supernet.nodes))
            group.remove(drawn[-1].node)
        topology_steps.append(tuple(drawn))
    return Plan(order, groups, tuple(operation_steps), tuple(topology_steps))


def discretise(
    supernet: Supernet,
    proxy: Proxy | str,
    batches: Batches,
    order: Order | Plan | str = "random",
    seed: int = 0,
    *,
    mixing: Mixing | None = None,
    allowed: Allowed = lambda mixing, choice, candidate: True,
    done: Sequence[Decision | Pruning] = (),
    report: Callable[[Decision | Pruning], None] = lambda decision: None,
) -> Discretisation:
    """Decide choice after choice, then node after node (Zero-Cost-PT, algorithm 1, for one member).

    Args:
        supernet: what is discretised; its weights stay as they are.
        proxy: a proxy or its name.
        batches: minibatches, each a Batch or a pair of tensors, such as a list of them or a DataLoader; they
            are taken in turn, and from the start again where they end before the last decision. A minibatch
            is moved to the supernet's device, and is not read where all of its decisions are in `done`.
        order: the order of decisions by its name, or as a Plan that was drawn before.
        seed: draws the plan, and the mixing where it is not given.
        mixing: the weights to start from; None means those of Supernet.new_mixing.
        allowed: is asked whether a candidate of a choice (by their indices) may be kept when a mixing is
            reached; one that may not is neither scored nor kept (its score is NaN). Of a node's edges it is
            asked whether they may be dropped (the candidate is None then).
        done: the first decisions, to be taken over.
        report: is told each new decision.

    Raises:
        UserError: an unknown name, minibatches that are no pairs of tensors or end, scores that decide
            nothing.

    Nothing is printed or written; two calls with equal arguments return equal results.
    """
    if not isinstance(supernet, Supernet):
        told = "supernet_of makes one of a network with MixedOps"
        raise UserError(f"supernet: a {type(supernet).__name__} is given: {told}")
    proxy = proxy_of([proxy]) if isinstance(proxy, str) else proxy
    order = ORDERS.get(order) if isinstance(order, str) else order
    plan = order if isinstance(order, Plan) else draw_plan(order, supernet, RandomState(seed))
    if mixing is None:
        with seeded(seed):
            mixing = supernet.new_mixing()
    minibatch = _numbered(batches, supernet, seed) if plan.minibatches else _no_minibatch
    return _Discretising(supernet, proxy, minibatch, plan, allowed, done, report).run(mixing)


class _Discretising:
    """One discretisation. `minibatch` gives the minibatch of a number."""

    def __init__(
        self,
        supernet: Supernet,
        proxy: Proxy,
        minibatch: Callable[[int], Batch],
        plan: Plan,
        allowed: Allowed,
        done: Sequence[Decision | Pruning],
        report: Callable[[Decision | Pruning], None],
    ):
        self.supernet = supernet
        self.proxy = proxy
        self.plan = plan
        self.allowed = allowed
        self.done = done
        self.report = report
        self.decisions: list[Decision | Pruning] = []
        self._minibatch = minibatch
        self._taken = 0

    def run(self, mixing: Mixing) -> Discretisation:
        plan, order = self.plan, self.plan.order
        undecided = [list(group) for group in plan.groups]
        rankings: list[list[int]] = [[] for _ in undecided]
        if order.opening:
            batch = self._next(1)
            if len(self.done) < sum(map(len, undecided)):
                for number, group in enumerate(undecided):
                    with self._named(group):
                        rankings[number] = order.rank(self._score(mixing, batch, group, 0))
        for step in plan.operation_steps:
            batch = self._next(order.step_batches)
            for number, visit in step:
                group, score = undecided[number], partial(self._score, mixing, batch)
                self._leave_out(mixing, group)
                if not group or (visit is not None and visit.choice not in group):
                    continue
                if visit is not None and visit.candidate is not None:
                    visit = self._allowed_visit(mixing, visit.choice, visit.candidate)
                with self._named([visit.choice] if visit is not None else group):
                    decision = self._take(partial(order.decide, group, visit, rankings[number], score))
                group.remove(decision.choice)
                mixing = decide(mixing, decision.choice, decision.candidate)
        for nodes in plan.topology_steps:
            batch = self._next(1)
            for node in nodes:
                if not self.supernet.runs(mixing, self.supernet.nodes[node.node].choices[0]):
                    continue
                for choice in self._take(partial(self._prune, mixing, batch, node)).dropped:
                    mixing = drop(mixing, choice)
        return Discretisation(mixing, self._kept(mixing), self.decisions)

    def _leave_out(self, mixing: Mixing, group: list[int]) -> None:
        """Take the choices out of the undecided ones that no longer run."""
        group[:] = [choice for choice in group if self.supernet.runs(mixing, choice)]

    def _allowed_visit(self, mixing: Mixing, choice: int, drawn: int) -> Visit:
        """The drawn candidate, or the next one, from the start again, that may be kept."""
        candidates = len(mixing[choice])
        for candidate in (*range(drawn, candidates), *range(drawn)):
            if self.allowed(mixing, choice, candidate):
                return Visit(choice, candidate)
        raise UserError(f"{self.supernet.choices[choice].name}: none of its candidates may be kept")

    def _next(self, count: int) -> Callable[[int], Batch]:
        """The next `count` minibatches by their number in the step, each read when it is first scored."""
        first = self._taken
        self._taken += count
        return lru_cache(maxsize=None)(lambda number: self._minibatch(first + number))

    def _take(self, make: Callable[[], Any]) -> Any:
        """The next decision: of those that are done, or made now."""
        if len(self.decisions) < len(self.done):
            self.decisions.append(self.done[len(self.decisions)])
        else:
            self.decisions.append(make())
            self.report(self.decisions[-1])
        return self.decisions[-1]

    def _score(
        self, mixing: Mixing, batch: Callable[[int], Batch], choices: Sequence[int], number: int
    ) -> dict[int, list[float]]:
        return operation_scores(self.proxy, self.supernet, mixing, choices, batch(number), self.allowed)

    def _prune(self, mixing: Mixing, batch: Callable[[int], Batch], visit: NodeVisit) -> Pruning:
        node = self.supernet.nodes[visit.node]
        if visit.dropped is not None:
            return Pruning(visit.node, self._allowed_drops(mixing, node, visit.dropped), None)
        # As in the official code a dropped edge still runs while its node is decided, so that the scores of
        # the others do not change from round to round.
        found = edge_scores(self.proxy, self.supernet, mixing, node.choices, batch(0))
        with self._named(node.choices):
            positions = dropped_edges(found, node.keep, partial(self._may_drop, mixing, node))
        return Pruning(visit.node, tuple(node.choices[position] for position in positions), found)

    def _may_drop(self, mixing: Mixing, node: Node, dropped: Sequence[int], position: int) -> bool:
        """Whether a node may lose an edge besides others, all by their positions."""
        for one in dropped:
            mixing = drop(mixing, node.choices[one])
        return self.allowed(mixing, node.choices[position], None)

    def _allowed_drops(self, mixing: Mixing, node: Node, drawn: Sequence[int]) -> tuple[int, ...]:
        """The drawn edges, or for each that may not be dropped the next one, from the start again."""
        dropped: list[int] = []
        for edge in drawn:
            at = node.choices.index(edge)
            for one in (*node.choices[at:], *node.choices[:at]):
                if one not in dropped and self.allowed(mixing, one, None):
                    dropped.append(one)
                    mixing = drop(mixing, one)
                    break
        return tuple(dropped)

    @contextmanager
    def _named(self, choices: Sequence[int]) -> Iterator[None]:
        """Say which choices they are that no score is usable for."""
        try:
            yield
        except NoScore as error:
            names = ", ".join(self.supernet.choices[choice].name for choice in choices)
            raise UserError(f"{self.proxy.name} on {names}: {error}") from error

    def _kept(self, mixing: Mixing) -> dict[str, str | None]:
        return {
            choice.name: choice.candidates[row.index(1.0)] if 1.0 in row else None
            for number, (choice, row) in enumerate(zip(self.supernet.choices, mixing))
            if self.supernet.runs(mixing, number)
        }


def _by_group(
    items: Sequence[Choice] | Sequence[Node], indices: Sequence[int] | None
) -> tuple[tuple[int, ...], ...]:
    """The indices of the items, a tuple for each group."""
    groups: dict[str, list[int]] = {}
    for index in range(len(items)) if indices is None else indices:
        groups.setdefault(items[index].group, []).append(index)
    return tuple(map(tuple, groups.values()))


def _no_minibatch(number: int) -> Batch:
    raise AssertionError("nothing is scored")


def _numbered(batches: Batches, supernet: Supernet, seed: int) -> Callable[[int], Batch]:
    """The minibatch of a number; numbers must not fall. A pair's seed is made of `seed` and its number."""
    weight = next(supernet.parameters(), torch.empty(0))

    def as_batch(given: Any, number: int) -> Batch:
        if isinstance(given, Batch):
            inputs, targets = given.inputs.to(weight.device), given.targets.to(weight.device)
            return given._replace(inputs=inputs, targets=targets)
        if not (isinstance(given, Sequence) and len(given) == 2):
            kind = type(given).__name__
            raise UserError(f"batches: a minibatch is a {kind}: it must be a pair of images and labels")
        images, labels = checked_pair(given[0], given[1], "batches")
        return Batch(images.to(weight.device), labels.to(weight.device), mixed_seed(seed, number))

    if isinstance(batches, Sequence):
        if not batches:
            raise UserError("batches: there is no minibatch")
        return lambda number: as_batch(batches[number % len(batches)], number)
    stream, taken = recycled(batches, "batches"), 0

    def in_turn(number: int) -> Batch:
        nonlocal taken
        for given in stream:
            taken += 1
            if taken > number:
                return as_batch(given, number)
        raise AssertionError("recycled never ends")

    return in_turn
