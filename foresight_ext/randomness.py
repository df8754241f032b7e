"""The random streams of a run, kept apart from everybody else's: draw first, score after."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


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


@contextmanager
def _keeping_outside() -> Iterator[None]:
    outside = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(outside)
