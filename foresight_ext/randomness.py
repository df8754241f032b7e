"""The random streams of a run, kept apart from everybody else's: draw first, score after."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


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
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # manual_seed would note, for each kind of device that there might be, where it was called
        torch.default_generator.manual_seed(seed)


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


@contextmanager
def repeated(seed: int) -> Iterator[None]:
    """Let all global streams start from a seed, and give them back as they were.

    So what is drawn from them inside, as by dropout while a network is scored, is the same each time.
    """
    with global_streams_kept():
        seed_everything(seed)
        yield


class NoiseModule(nn.Module):
    """An operation that draws random numbers in its forward pass, by `normal`."""

    _noise_seed: int | None = None

    def fix(self, seed: int) -> None:
        """Draw the same numbers, those of a seed, in every forward pass from now on."""
        self._noise_seed = seed

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers of the shape, type and device: from the global generator, until `fix`."""
        if self._noise_seed is None:
            return torch.randn_like(like)
        generator = torch.Generator("cpu").manual_seed(self._noise_seed)
        return torch.randn(like.shape, generator=generator, device="cpu").to(like)


def fix_noise(network: nn.Module, seed: int) -> None:
    """Let the network's NoiseModules repeat their numbers until the next call, each its own.

    So all candidates of a decision see the same noise.
    """
    for index, module in enumerate(network.modules()):
        if isinstance(module, NoiseModule):
            module.fix(seed + index)


@contextmanager
def _keeping_outside() -> Iterator[None]:
    outside = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(outside)
