"""The random streams of a run, kept apart from everybody else's: draw first, score after."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


class RandomStreams:
    """Torch's and numpy's streams of one seed, as torch.manual_seed and numpy.random.seed start them.

    Modules and image transforms draw from torch's global generator only, so whatever is drawn from this
    run's torch stream is drawn inside `with streams.torch():`; outside of it the global generator is what
    it was. `streams.numpy` draws what numpy.random would.
    """

    def __init__(self, seed: int):
        self.numpy = np.random.RandomState(seed)
        self._state = torch.Generator().manual_seed(seed).get_state()

    @contextmanager
    def torch(self) -> Iterator[None]:
        """Let torch's global generator continue this stream."""
        with _keeping_outside():
            torch.set_rng_state(self._state)
            try:
                yield
            finally:
                self._state = torch.get_rng_state()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch's global generator start from a seed, and give it back as it was."""
    with _keeping_outside():
        torch.default_generator.manual_seed(seed)
        yield


def seed_everything(*numbers: int) -> None:
    """Start Python's, numpy's and torch's global streams, those of GPUs too.

    One number is the seed as it is; several, such as a seed and an epoch, make one that is their own.
    """
    seed = numbers[0] if len(numbers) == 1 else mixed_seed(*numbers)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def mixed_seed(*numbers: int) -> int:
    """A seed (32 bits) that every sequence of whole numbers has to itself, as good as."""
    # their count is one of them, because zeros at the end would make no difference
    return int(np.random.SeedSequence([len(numbers), *numbers]).generate_state(1)[0])


@contextmanager
def global_streams_kept() -> Iterator[None]:
    """Give back all global streams as they were, those of GPUs too, whatever is drawn inside."""
    python, numbers, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)


def fix_noise(network: nn.Module, seed: int) -> None:
    """Let the network's random operations repeat one value in every forward pass until the next call.

    Random operations are modules with an attribute `noise_seed`: None draws from the global generator, a
    number from a generator of its own. So all candidates of a decision see the same noise.
    """
    for index, module in enumerate(network.modules()):
        if hasattr(module, "noise_seed"):
            module.noise_seed = seed + index


@contextmanager
def _keeping_outside() -> Iterator[None]:
    outside = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(outside)
