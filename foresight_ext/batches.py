"""Which images a minibatch holds and how they are cropped: what a DataLoader would draw, without images."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from foresight_ext.augmentation import Augmentation
from foresight_ext.randomness import seeded

# The official validation loads with four workers, each with a stream of its own. The number is a part of
# the method; how many threads really read images is not.
VALIDATION_STREAMS = 4


class BatchDraws(NamedTuple):
    """A minibatch before its images are read: indices (n) and the augmentation's draws (n x ...)."""

    indices: Tensor
    augmentation: Tensor


class Batch(NamedTuple):
    """A minibatch: inputs (n x C x H x W, float32), targets (n, int64), and a seed that is its own."""

    inputs: Tensor
    targets: Tensor
    seed: int = 0


def draw_pass(images: int, batch_size: int, augmentation: Augmentation) -> Iterator[BatchDraws]:
    """One pass of a DataLoader without workers over SubsetRandomSampler(range(images)).

    Draws from torch's global generator, each batch when it is asked for.
    """
    _, batches = _start_pass(images, batch_size)
    for indices in batches:
        yield BatchDraws(indices, augmentation.draw(len(indices)))


def draw_validation_pass(images: int, batch_size: int, augmentation: Augmentation) -> list[BatchDraws]:
    """One pass of a DataLoader with VALIDATION_STREAMS workers, which take batches in turn."""
    base_seed, batches = _start_pass(images, batch_size)
    draws: list[Tensor] = [torch.empty(0)] * len(batches)
    for worker in range(VALIDATION_STREAMS):
        with seeded(base_seed + worker):
            for index in range(worker, len(batches), VALIDATION_STREAMS):
                draws[index] = augmentation.draw(len(batches[index]))
    return [BatchDraws(*pair) for pair in zip(batches, draws)]


def _start_pass(images: int, batch_size: int) -> tuple[int, tuple[Tensor, ...]]:
    # a DataLoader draws its workers' base seed, wanted or not, before its sampler draws the order
    base_seed = int(torch.empty((), dtype=torch.int64).random_().item())
    return base_seed, torch.randperm(images).split(batch_size)
