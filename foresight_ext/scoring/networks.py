"""Scores of a space's networks by zero-cost proxies, computed here or in worker processes."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from foresight_ext.errors import UserError
from foresight_ext.images.source import ImageSettings

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    import torch

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
    from foresight_ext.measures.proxy import network_score
    from foresight_ext.randomness import mixed_seed, seeded

    architecture, names = task
    assert batch.images is not None  # as `minibatch` makes it
    with seeded(mixed_seed(settings.seed, *architecture.encode())):
        network = settings.space.build_network(architecture, batch.images.classes)
    network.to(batch.inputs.device)
    found = {}
    for name in names:
        start = time.monotonic()
        score = network_score(PROXIES.get(name), network, batch)
        if batch.inputs.is_cuda:
            torch.cuda.synchronize()
        found[name] = (score, time.monotonic() - start)
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


def results(
    settings: ScoringSettings, tasks: list[Task], batch: "Batch", processes: int, threads: int | None
) -> Iterator[Result]:
    """What score_one says of every task, from worker processes (of so many threads) if several are asked."""
    if processes == 1:
        yield from map(partial(score_one, settings, batch), tasks)
        return
    spawn, device = multiprocessing.get_context("spawn"), str(batch.inputs.device)
    executor = ProcessPoolExecutor(processes, spawn, _start_worker, (settings, device, threads or 1))
    try:
        # Ctrl-C is for this process alone: workers that it stops anywhere could leave the others waiting
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            results = executor.map(_work, tasks)  # starts the workers, which go on ignoring it
        finally:
            signal.signal(signal.SIGINT, handler)
        yield from results
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, perhaps of too little memory: use fewer --processes"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


_worker: Callable[[Task], Result]  # a process of a pool has no other place for what its tasks share


def _start_worker(settings: ScoringSettings, device: str, threads: int) -> None:
    global _worker
    import torch

    torch.set_num_threads(threads)
    _worker = partial(score_one, settings, minibatch(settings, torch.device(device)))


def _work(task: Task) -> Result:
    return _worker(task)
