"""The validation stage: the pool's genotypes, as stand-alone networks, scored over V minibatches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from foresight_ext.batches import BatchDraws, draw_validation_pass
from foresight_ext.datasets import ImageData
from foresight_ext.measures import Proxy
from foresight_ext.randomness import RandomStreams, fix_noise
from foresight_ext.scoring import highest
from foresight_ext.space import Space


@dataclass(frozen=True)
class Validated:
    """A distinct genotype of the pool, its network with fresh random weights, and its minibatches."""

    genotype: str
    network: torch.nn.Module
    rounds: list[BatchDraws]


def draw_validation(
    space: Space, pool: Sequence[str], data: ImageData, seed: int, rounds: int, batch_size: int
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
    data: ImageData,
    device: torch.device,
    done: Sequence[float] = (),
    report: Callable[[float], None] = lambda score: None,
) -> list[float]:
    """The proxy on each minibatch, negated where lower is better. Scores in `done` are taken over."""
    scores = list(done)
    if len(scores) == len(validated.rounds):
        return scores
    network = validated.network.to(device)
    sign = 1 if proxy.higher_is_better else -1
    for draws in validated.rounds[len(scores) :]:
        batch = data.render(draws, device)
        fix_noise(network, batch.seed)
        scores.append(sign * proxy.score(network, batch))
        report(scores[-1])
    return scores


def best_genotype(totals: dict[str, float]) -> str:
    """The genotype of the highest summed score, the first of equals."""
    return list(totals)[highest(list(totals.values()))]
