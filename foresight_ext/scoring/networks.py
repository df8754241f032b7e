"""Scores of a space's networks by zero-cost proxies."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from foresight_ext.errors import UserError
from foresight_ext.images.source import ImageSettings

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    import torch

    from foresight_ext.devices import Compute
    from foresight_ext.images.batches import Batch
    from foresight_ext.search.space import Space

# a genotype, and the proxies to score it by; what came of it: score and seconds by each
Task = tuple[str, tuple[str, ...]]
Result = tuple[str, dict[str, tuple[float, float]]]


@dataclass(frozen=True)
class ScoringSettings:
    """What makes the scores: one minibatch of `batch_size` images for all networks of a space.

    `seed` draws the minibatch, the networks' weights and the sample. The space says how networks are built.
    """

    space: "Space"
    seed: int = 0
    images: ImageSettings = field(default_factory=ImageSettings)
    batch_size: int = 64

    def as_written(self) -> dict[str, Any]:
        """The settings by the names of their options, for config.json."""
        size = self.space.settings()
        return {"seed": self.seed, "batch_size": self.batch_size, **size, **self.images.settings()}


def sampled(seed: int, genotypes: Sequence[str], count: int) -> list[str]:
    """So many of the genotypes in the seed's random order: a smaller sample begins a larger one."""
    order = np.random.RandomState(seed).permutation(len(genotypes))[:count]
    return [genotypes[index] for index in order]


def score_one(settings: ScoringSettings, batch: "Batch", task: Task) -> Result:
    """A network's score and seconds by each of some proxies; its weights are drawn from the seed."""
    import torch

    from foresight_ext.measures import PROXIES
    from foresight_ext.measures.proxy import in_passes, network_scores
    from foresight_ext.randomness import mixed_seed, seeded

    architecture, names = task
    assert batch.images is not None  # as `minibatch` makes it
    with seeded(mixed_seed(settings.seed, *architecture.encode())):
        network = settings.space.build_network(architecture, batch.images.classes)
    network.to(batch.inputs.device)
    found: dict[str, tuple[float, float]] = {}
    proxies = [PROXIES.get(name) for name in names]
    for numbers in in_passes(proxies):
        start = time.monotonic()
        scores = network_scores([proxies[number] for number in numbers], network, batch)
        if batch.inputs.is_cuda:
            torch.cuda.synchronize()
        each = (time.monotonic() - start) / len(numbers)  # of a pass that several share
        found |= {names[number]: (score, each) for number, score in zip(numbers, scores)}
    return architecture, found


def minibatch(settings: ScoringSettings, device: "torch.device") -> "Batch":
    """The minibatch that all networks are scored on, drawn from the seed."""
    from foresight_ext.images.batches import draw_pass
    from foresight_ext.randomness import seeded

    data = settings.images.open("train")
    if settings.batch_size > len(data):
        raise UserError(f"--batch_size {settings.batch_size}: there are {len(data)} training images")
    with seeded(settings.seed):
        draws = next(draw_pass(len(data), settings.batch_size, data.augmentation))
    return data.render(draws, device)


@dataclass
class Scorer:
    """Makes, in each process, what scores a network; `batch` spares this process from reading its own."""

    settings: ScoringSettings
    compute: "Compute"
    batch: "Batch | None" = None

    def __call__(self) -> Callable[[Task], Result]:
        batch = self.batch or minibatch(self.settings, self.compute.choose()[0])
        return partial(score_one, self.settings, batch)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "batch": None}
