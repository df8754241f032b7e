"""What the search and the validation stage of a run are given, and the few words and clocks they share."""

import time
from dataclasses import dataclass

import torch

from foresight_ext.images.batches import Images
from foresight_ext.images.source import ImageSource
from foresight_ext.measures.proxy import Proxy
from foresight_ext.parallel.workers import Workers
from foresight_ext.runs.folder import RunFolder
from foresight_ext.search.settings import SearchSettings
from foresight_ext.search.space import Space


@dataclass(frozen=True)
class Stage:
    """A space, and with what, on which images, where and by whom it is searched or validated."""

    space: Space
    proxy: Proxy
    settings: SearchSettings
    images: ImageSource
    data: Images
    folder: RunFolder
    device: torch.device
    workers: Workers


class Clock:
    """A stop watch: each lap's seconds, the first since it was made."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self) -> float:
        """Seconds since the lap before, as journals keep them."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        return round(seconds, 4)


def counted(number: int, noun: str) -> str:
    """1 minibatch, 2 minibatches."""
    plural = "" if number == 1 else "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}{plural}"
