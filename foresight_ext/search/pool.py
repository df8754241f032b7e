"""The search stage: N independent discretisations of one supernet give a pool of genotypes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import torch

from foresight_ext.images.batches import Batch, BatchDraws, Images, draw_pass
from foresight_ext.measures.proxy import Proxy
from foresight_ext.randomness import RandomStreams
from foresight_ext.search.discretise import Plan, discretise, draw_plan
from foresight_ext.search.orders import Decision, Order, Pruning
from foresight_ext.search.scoring import Allowed
from foresight_ext.search.space import Space
from foresight_ext.supernets.supernet import Mixing


@dataclass(frozen=True)
class MemberDraws:
    """All that is random in one pool member, apart from the supernet's weights."""

    mixing: Mixing
    plan: Plan
    batches: tuple[BatchDraws, ...]


class PoolSearch:
    """A pool of discretisations (Zero-Cost-PT, algorithm 1). Draw a member, score it then or elsewhere.

    Members are drawn in order, `draw` by `draw`, from the run's own random streams; `discretise` is a pure
    function of a member's draws. The images are the first of `data`, half of them as a rule.
    """

    def __init__(
        self,
        space: Space,
        data: Images,
        proxy: Proxy,
        order: Order,
        seed: int,
        batch_size: int,
        device: torch.device,
        allowed: Allowed = lambda mixing, choice, candidate: True,
    ):
        self.space = space
        self.data = data
        self.proxy = proxy
        self.order = order
        self.batch_size = batch_size
        self.device = device
        self.allowed = allowed
        self._streams = RandomStreams(seed)
        with self._streams.torch():
            self.supernet, self.mixing = space.begin(data.classes)
        self._drawn = 0
        self.supernet.to(device)

    def draw(self, previous: str | None = None) -> MemberDraws:
        """Draw the next pool member, the `previous` one's genotype given (None: see Space.after_member)."""
        plan = draw_plan(self.order, self.supernet, self._streams.numpy)
        with self._streams.torch():
            if not self.order.scores:  # neither mixing nor minibatches are looked at
                return MemberDraws(self.mixing, plan, ())
            if self._drawn:
                self.mixing = self.space.after_member(self.mixing, previous)
            self._drawn += 1
            stream = self._batches()
            batches = tuple(next(stream) for _ in range(plan.minibatches))
        return MemberDraws(self.mixing, plan, batches)

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
        """The genotype of a member, and all decisions in the order in which they were taken.

        Decisions in `done` are taken over; `report` gets each new one.
        """
        batches = _Rendered(self.data, draws.batches, self.device)
        found = discretise(
            self.supernet,
            self.proxy,
            batches,
            draws.plan,
            mixing=draws.mixing,
            allowed=self.allowed,
            done=done,
            report=report,
        )
        return self.space.genotype(found.mixing), found.decisions


class _Rendered(Sequence[Batch]):
    """A member's minibatches, each read when it is asked for."""

    def __init__(self, data: Images, draws: Sequence[BatchDraws], device: torch.device):
        self._data = data
        self._draws = draws
        self._device = device

    def __len__(self) -> int:
        return len(self._draws)

    @overload
    def __getitem__(self, number: int) -> Batch: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Batch]: ...

    def __getitem__(self, number: int | slice) -> Batch | Sequence[Batch]:
        if isinstance(number, slice):
            return _Rendered(self._data, self._draws[number], self._device)
        return self._data.render(self._draws[number], self._device)
