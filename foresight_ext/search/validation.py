"""The validation stage: the pool's genotypes, as stand-alone networks, scored over V minibatches."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from foresight_ext.devices import Compute
from foresight_ext.images.batches import BatchDraws, Images, draw_validation_pass
from foresight_ext.images.source import ImageSource
from foresight_ext.measures.proxy import Proxy, network_scores
from foresight_ext.randomness import RandomStreams, fix_noise
from foresight_ext.search.choosing import highest
from foresight_ext.search.space import Space

# what one minibatch says of a network: a score of each of the proxy's parts, the higher the better
Row = tuple[float, ...]


@dataclass(frozen=True)
class Validated:
    """A distinct genotype of the pool, its network with fresh random weights, and its minibatches."""

    genotype: str
    network: torch.nn.Module
    rounds: list[BatchDraws]


def draw_validation(
    space: Space, pool: Sequence[str], data: Images, seed: int, rounds: int, batch_size: int
) -> Iterator[Validated]:
    """Draw network and minibatches for each distinct genotype, in pool order.

    The images are the first rounds * batch_size of `data`, or all where there are fewer.
    """
    streams = RandomStreams(seed)
    images = min(rounds * batch_size, len(data))
    for genotype in dict.fromkeys(pool):
        with streams.torch():
            network = space.build_network(genotype, data.classes)
            draws = draw_validation_pass(images, batch_size, data.augmentation)
        yield Validated(genotype, network, draws)


def validation_scores(
    validated: Validated,
    proxy: Proxy,
    data: Images,
    device: torch.device,
    done: Sequence[Row] = (),
    report: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """The proxy's parts on each minibatch. Rows in `done` are taken over."""
    rows = list(done)
    for number in range(len(rows), len(validated.rounds)):
        rows.append(minibatch_row(validated, number, proxy, data, device))
        report(rows[-1])
    return rows


def minibatch_row(validated: Validated, number: int, proxy: Proxy, data: Images, device: torch.device) -> Row:
    """The proxy's parts on the minibatch of a number, from 0 on: a pure function."""
    network = validated.network.to(device)
    batch = data.render(validated.rounds[number], device)
    fix_noise(network, batch.seed)
    found = network_scores(proxy.parts, network, batch)
    return tuple(part.signed(score) for part, score in zip(proxy.parts, found))


@dataclass
class ValidationWork:
    """Makes, in each process, what scores a minibatch: a task is a genotype and the minibatch's number.

    Each process draws networks and minibatches from the seed, in the order of the pool. `data` spares this
    process from opening its own.
    """

    space: Space
    pool: Sequence[str]
    proxy: Proxy
    images: ImageSource
    compute: Compute
    seed: int
    rounds: int
    batch_size: int
    data: Images | None = None

    def __call__(self) -> Callable[[tuple[str, int]], Row]:
        data, device = self.data or self.images.open("train"), self.compute.choose()[0]
        drawn: list[Validated] = []  # the last one
        stream = iter(())  # type: Iterator[Validated]

        def row(task: tuple[str, int]) -> Row:
            nonlocal stream
            genotype, number = task
            while not drawn or drawn[0].genotype != genotype:
                following = next(stream, None)
                if following is None:  # the start, or a genotype of before
                    stream = draw_validation(
                        self.space, self.pool, data, self.seed, self.rounds, self.batch_size
                    )
                    following = next(stream)
                drawn[:] = [following]
            return minibatch_row(drawn[0], number, self.proxy, data, device)

        return row

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "data": None}


def summed(rows: Sequence[Row]) -> Row:
    """The sum over the minibatches, for each part."""
    return tuple(_sum(column) for column in zip(*rows))


def _sum(scores: Sequence[float]) -> float:
    try:
        return math.fsum(scores)
    except (OverflowError, ValueError):  # beyond float64, or infinities of both signs: infinity, or NaN
        return sum(scores)


def combined(proxy: Proxy, sums: dict[str, Row]) -> dict[str, float]:
    """One score for each genotype, given the sums of all that are compared."""
    return dict(zip(sums, proxy.combine(list(zip(*sums.values())))))


def best_genotype(totals: dict[str, float]) -> str:
    """The genotype of the highest score, the first of equals."""
    return list(totals)[highest(list(totals.values()))]
