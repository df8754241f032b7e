"""The search stage: N independent discretisations of one supernet give a pool of genotypes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch

from foresight_ext.batches import Batch, BatchDraws, draw_pass
from foresight_ext.datasets import ImageData
from foresight_ext.measures import Proxy
from foresight_ext.orders import Decision, Order, Visit
from foresight_ext.randomness import RandomStreams
from foresight_ext.scoring import operation_scores
from foresight_ext.space import Space
from foresight_ext.supernet import Mixing, decide


@dataclass(frozen=True)
class StepDraws:
    """The minibatches of a step and, for each group of choices, what the order drew."""

    batches: tuple[BatchDraws, ...]
    visits: tuple[Visit | None, ...]


@dataclass(frozen=True)
class MemberDraws:
    """All that is random in one pool member, apart from the supernet's weights."""

    mixing: Mixing
    opening: BatchDraws | None
    steps: tuple[StepDraws, ...]


class PoolSearch:
    """A pool of discretisations (Zero-Cost-PT, algorithm 1). Draw a member, score it then or elsewhere.

    Members are drawn in order, `draw` by `draw`, from the run's own random streams; `discretise` is a pure
    function of a member's draws. The images are the first half of `data`.
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
        choices = self.supernet.choices
        names = dict.fromkeys(choice.group for choice in choices)
        self.groups = [[i for i, choice in enumerate(choices) if choice.group == name] for name in names]

    def draw(self, previous: str | None = None) -> MemberDraws:
        """Draw the next pool member, the `previous` one's genotype given (None: see Space.after_member)."""
        steps, opening = [], None
        undecided = [list(group) for group in self.groups]
        with self._streams.torch():
            if self._drawn:
                self._mixing = self.space.after_member(self._mixing, previous)
            self._drawn += 1
            batches = self._batches()
            if self.order.opening:
                opening = next(batches)
            while any(undecided):
                visits = []
                for group in undecided:
                    visits.append(self.order.draw(self._streams.numpy, group, self.supernet.choices))
                    # without a drawn visit the scores decide which choice goes; here only the number counts
                    group.remove(visits[-1].choice if visits[-1] else group[-1])
                drawn = tuple(next(batches) for _ in range(self.order.step_batches))
                steps.append(StepDraws(drawn, tuple(visits)))
        return MemberDraws(self._mixing, opening, tuple(steps))

    def _batches(self) -> Iterator[BatchDraws]:
        """Minibatches without end, in the official order of draws."""
        while True:
            for draws in draw_pass(len(self.data) // 2, self.batch_size, self.data.augmentation):
                yield draws
                if self.space.new_pass_for_each_batch:
                    break

    def discretise(
        self,
        draws: MemberDraws,
        done: Sequence[Decision] = (),
        report: Callable[[Decision], None] = lambda decision: None,
    ) -> tuple[str, list[Decision]]:
        """Decide choice after choice. Decisions in `done` are taken over; `report` gets each new one.

        Returns the genotype and all decisions in the order in which they were taken.
        """
        mixing = draws.mixing
        undecided = [list(group) for group in self.groups]
        rankings: list[list[int]] = [[] for _ in self.groups]
        if self.order.opening and len(done) < len(self.supernet.choices):
            batch = _Rendered(self.data, (draws.opening,), self.device)
            rankings = [self.order.rank(self._score(mixing, batch, group, 0)) for group in self.groups]
        decisions: list[Decision] = []
        for step in draws.steps:
            batches = _Rendered(self.data, step.batches, self.device)
            for group, visit, ranking in zip(undecided, step.visits, rankings):
                if len(decisions) < len(done):
                    decision = done[len(decisions)]
                else:
                    decision = self.order.decide(group, visit, ranking, partial(self._score, mixing, batches))
                    report(decision)
                decisions.append(decision)
                group.remove(decision.choice)
                mixing = decide(mixing, decision.choice, decision.candidate)
        return self.space.genotype(mixing), decisions

    def _score(self, mixing: Mixing, batches: "_Rendered", choices: Sequence[int], number: int):
        return operation_scores(self.proxy, self.supernet, mixing, choices, batches[number])


class _Rendered:
    """The minibatches of a step, shared by its decisions; each is read when it is first scored."""

    def __init__(self, data: ImageData, draws: Sequence[BatchDraws], device: torch.device):
        self._render = lru_cache(maxsize=None)(lambda number: data.render(draws[number], device))

    def __getitem__(self, number: int) -> Batch:
        return self._render(number)
