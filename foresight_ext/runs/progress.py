"""Progress of long work: a bar on a terminal, and a line every few seconds where nobody sees a bar."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from tqdm import tqdm

_EVERY = 10.0  # seconds
# for lines that a bar shows as well, see shown_by_bar
_MARK = {"shown_by_bar": True}
_log = logging.getLogger(__name__)
_bars = False


def in_words(seconds: float) -> str:
    """A duration as people say it: 8.3 s, 2 min 05 s, 1 h 20 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def bars() -> Iterator[None]:
    """Let Progress draw bars on standard output while this is entered; without it nothing is drawn."""
    global _bars  # what a terminal shows belongs to the process, not to any one piece of work
    before, _bars = _bars, True
    try:
        yield
    finally:
        _bars = before


def shown_by_bar(record: logging.LogRecord) -> bool:
    """Whether a line tells what a bar shows: a terminal with bars can leave it out."""
    return getattr(record, "shown_by_bar", False)


def _bar(total: int, done: int, title: str, unit: str) -> "tqdm | None":
    if not _bars:  # a bar that draws nothing would hold a lock, which a process that is stopped leaves behind
        return None
    return tqdm(
        total=total,
        initial=done,
        desc=title,
        unit=unit,
        file=sys.stdout,
        leave=False,
        dynamic_ncols=True,
    )


class Progress:
    """Counts `total` pieces of work, `done` of them done before now. Enter it to see a bar."""

    def __init__(self, what: str, total: int, done: int = 0):
        self.what = what
        self.total = total
        self.done = done
        self._start = self._said = time.monotonic()
        self._before = done
        self._bar: tqdm | None = None

    def __enter__(self) -> "Progress":
        self._bar = _bar(self.total, self.done, self.what, "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, note: str = "", pieces: int = 1) -> None:
        """One more piece is done, or so many; `note` says what came of it."""
        self.done += pieces
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(pieces)
        now = time.monotonic()
        if now - self._said < _EVERY or self.done == self.total:
            return
        self._said = now
        each = (now - self._start) / (self.done - self._before)
        _log.info(
            "%s: %d of %d (%.0f%%), %s so far, about %s to go",
            self.what,
            self.done,
            self.total,
            100 * self.done / self.total,
            in_words(now - self._start),
            in_words(each * (self.total - self.done)),
            extra=_MARK,
        )

    def skip(self, count: int) -> None:
        """So many pieces need not be done."""
        self.total -= count
        if self._bar is not None and count:
            self._bar.total = self.total
            self._bar.refresh()


class TrainingProgress:
    """Follows a training of `epochs` epochs of `images` images, `done` epochs of them done before now."""

    def __init__(self, epochs: int, images: int, done: int = 0):
        self.epochs = epochs
        self.images = images
        self.epoch = self._before = done
        self._start = self._epoch_start = self._said = time.monotonic()
        self._seen = 0
        self._bar: tqdm | None = None
        self.speed = 0.0

    def step(self, images: int) -> None:
        """Some images more are trained on."""
        if self._bar is None:
            title = f"epoch {self.epoch + 1} of {self.epochs}"
            self._bar = _bar(self.images, 0, title, " images")
        self._seen += images
        if self._bar is not None:
            self._bar.update(images)
        now = time.monotonic()
        if now - self._said < _EVERY or self._seen >= self.images:
            return
        self._said = now
        speed = self._seen / (now - self._epoch_start)
        here = (self.images - self._seen) / speed
        left = self.epochs - self.epoch - 1
        each = self.images / speed
        if self.epoch > self._before:
            each = (self._epoch_start - self._start) / (self.epoch - self._before)
        _log.info(
            "epoch %d of %d: %d of %d images, %.0f images/s, about %s to go in this epoch, %s in all",
            self.epoch + 1,
            self.epochs,
            self._seen,
            self.images,
            speed,
            in_words(here),
            in_words(here + left * each),
            extra=_MARK,
        )

    def trained(self) -> None:
        """All images of an epoch are trained on: `speed` is now their number per second."""
        self.speed = self._seen / max(time.monotonic() - self._epoch_start, 1e-9)
        self.close()

    def end_epoch(self) -> tuple[float, float]:
        """An epoch is done, its evaluation too: its seconds, and about how many are left in all."""
        now = time.monotonic()
        seconds = now - self._epoch_start
        self.epoch += 1
        self._epoch_start, self._seen = now, 0
        each = (now - self._start) / (self.epoch - self._before)
        return seconds, each * (self.epochs - self.epoch)

    def close(self) -> None:
        """Take the epoch's bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
