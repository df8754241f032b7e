"""The search stage: N independent discretisations of one supernet give a pool of genotypes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch

from foresight_ext.batches import Batch, BatchDraws, draw_pass
from foresight_ext.datasets import ImageData
from foresight_ext.measures import Proxy
from foresight_ext.orders import Decision, NodeVisit, Order, Pruning, Visit
from foresight_ext.randomness import RandomStreams
from foresight_ext.scoring import dropped_edges, edge_scores, operation_scores
from foresight_ext.space import Space
from foresight_ext.supernet import Choice, Mixing, Node, decide, drop


@dataclass(frozen=True)
class StepDraws:
    """The minibatches of a step and, for each group of choices (or nodes), what the order drew."""

    batches: tuple[BatchDraws, ...]
    visits: tuple[Visit | NodeVisit | None, ...]


@dataclass(frozen=True)
class MemberDraws:
    """All that is random in one pool member, apart from the supernet's weights."""

    mixing: Mixing
    opening: BatchDraws | None
    operation_steps: tuple[StepDraws, ...]
    topology_steps: tuple[StepDraws, ...]


class PoolSearch:
    """A pool of discretisations (Zero-Cost-PT, algorithm 1). Draw a member, score it then or elsewhere.

    Members are drawn in order, `draw` by `draw`, from the run's own random streams; `discretise` is a pure
    function of a member's draws. The images are the first of `data`, half of them as a rule.
    """

    def __init__(
        self,
        space: Space,
        data: ImageData,
        proxy: Proxy,
        order: Order,
        seed: int,
        batch_size: int,
        device: torch.device,
    ):
        self.space = space
        self.data = data
        self.proxy = proxy
        self.order = order
        self.batch_size = batch_size
        self.device = device
        self._streams = RandomStreams(seed)
        with self._streams.torch():
            self.supernet, self._mixing = space.begin(data.classes)
        self._drawn = 0
        self.supernet.to(device)
        self._choices = _by_group(self.supernet.choices)
        self._nodes = _by_group(self.supernet.nodes)

    def draw(self, previous: str | None = None) -> MemberDraws:
        """Draw the next pool member, the `previous` one's genotype given (None: see Space.after_member)."""
        order, numpy = self.order, self._streams.numpy
        with self._streams.torch():
            if self._drawn:
                self._mixing = self.space.after_member(self._mixing, previous)
            self._drawn += 1
            batches = self._batches()
            opening = next(batches) if order.opening else None
            operation_steps = []
            undecided = [list(group) for group in self._choices]
            while any(undecided):
                visits = []
                for group in undecided:
                    visits.append(order.draw(numpy, group, self.supernet.choices))
                    # without a drawn visit the scores decide which choice goes; here only the number counts
                    group.remove(visits[-1].choice if visits[-1] else group[-1])
                drawn = tuple(next(batches) for _ in range(order.step_batches))
                operation_steps.append(StepDraws(drawn, tuple(visits)))
            topology_steps = []
            undecided = [list(group) for group in self._nodes]
            while any(undecided):
                visits = []
                for group in undecided:
                    visits.append(order.draw_node(numpy, group, self.supernet.nodes))
                    group.remove(visits[-1].node)
                topology_steps.append(StepDraws((next(batches),), tuple(visits)))
        return MemberDraws(self._mixing, opening, tuple(operation_steps), tuple(topology_steps))

    def _batches(self) -> Iterator[BatchDraws]:
        """Minibatches without end, in the official order of draws."""
        images = self.space.search_images(len(self.data))
        while True:
            for draws in draw_pass(images, self.batch_size, self.data.augmentation):
                yield draws
                if self.space.new_pass_for_each_batch:
                    break

    def discretise(
        self,
        draws: MemberDraws,
        done: Sequence[Decision | Pruning] = (),
        report: Callable[[Decision | Pruning], None] = lambda decision: None,
    ) -> tuple[str, list[Decision | Pruning]]:
        """Decide choice after choice, then node after node.

        Decisions in `done` are taken over; `report` gets each new one. Returns the genotype and all
        decisions in the order in which they were taken.
        """
        mixing = draws.mixing
        decisions: list[Decision | Pruning] = []

        def take(make: Callable[[], Decision | Pruning]) -> Decision | Pruning:
            if len(decisions) < len(done):
                decisions.append(done[len(decisions)])
            else:
                decisions.append(make())
                report(decisions[-1])
            return decisions[-1]

        undecided = [list(group) for group in self._choices]
        rankings: list[list[int]] = [[] for _ in self._choices]
        if self.order.opening and len(done) < len(self.supernet.choices):
            batch = _Rendered(self.data, (draws.opening,), self.device)
            rankings = [self.order.rank(self._score(mixing, batch, group, 0)) for group in self._choices]
        for step in draws.operation_steps:
            batches = _Rendered(self.data, step.batches, self.device)
            for group, visit, ranking in zip(undecided, step.visits, rankings):
                score = partial(self._score, mixing, batches)
                decision = take(partial(self.order.decide, group, visit, ranking, score))
                group.remove(decision.choice)
                mixing = decide(mixing, decision.choice, decision.candidate)
        for step in draws.topology_steps:
            batches = _Rendered(self.data, step.batches, self.device)
            for visit in step.visits:
                for choice in take(partial(self._prune, mixing, batches, visit)).dropped:
                    mixing = drop(mixing, choice)
        return self.space.genotype(mixing), decisions

    def _score(self, mixing: Mixing, batches: "_Rendered", choices: Sequence[int], number: int):
        return operation_scores(self.proxy, self.supernet, mixing, choices, batches[number])

    def _prune(self, mixing: Mixing, batches: "_Rendered", visit: NodeVisit) -> Pruning:
        if visit.dropped is not None:
            return Pruning(visit.node, visit.dropped, None)
        node = self.supernet.nodes[visit.node]
        # As in the official code a dropped edge still runs while its node is decided, so that the scores of
        # the others do not change from round to round.
        found = edge_scores(self.proxy, self.supernet, mixing, node.choices, batches[0])
        dropped = tuple(node.choices[position] for position in dropped_edges(found, node.keep))
        return Pruning(visit.node, dropped, found)


def _by_group(items: Sequence[Choice | Node]) -> list[list[int]]:
    """The items' indices, a list for each group."""
    groups: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(item.group, []).append(index)
    return list(groups.values())


class _Rendered:
    """The minibatches of a step, shared by its decisions; each is read when it is first scored."""

    def __init__(self, data: ImageData, draws: Sequence[BatchDraws], device: torch.device):
        self._render = lru_cache(maxsize=None)(lambda number: data.render(draws[number], device))

    def __getitem__(self, number: int) -> Batch:
        return self._render(number)
