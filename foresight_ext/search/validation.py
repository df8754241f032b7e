"""The validation stage: the pool's genotypes, as stand-alone networks, scored over V minibatches."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from foresight_ext.images.batches import BatchDraws, Images, draw_validation_pass
from foresight_ext.measures.proxy import Proxy, network_score
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
    if len(rows) == len(validated.rounds):
        return rows
    network = validated.network.to(device)
    for draws in validated.rounds[len(rows) :]:
        batch = data.render(draws, device)
        fix_noise(network, batch.seed)
        rows.append(tuple(part.signed(network_score(part, network, batch)) for part in proxy.parts))
        report(rows[-1])
    return rows


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
