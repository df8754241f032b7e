"""Progress of long work: how far, how long so far, how long to go; a line every few seconds."""

import logging
import time

_EVERY = 10.0  # seconds
_log = logging.getLogger(__name__)


def in_words(seconds: float) -> str:
    """A duration as people say it: 8.3 s, 2 min 05 s, 1 h 20 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Counts `total` pieces of work, `done` of them done before now."""

    def __init__(self, what: str, total: int, done: int = 0):
        self.what = what
        self.total = total
        self.done = done
        self._start = self._said = time.monotonic()
        self._before = done

    def step(self) -> None:
        """One more piece is done."""
        self.done += 1
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
        )
