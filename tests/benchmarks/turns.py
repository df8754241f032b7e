"""Times the same work in two ways that take turns."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

Result = TypeVar("Result")


def in_turns(
    work: Callable[[], Result], before: AbstractContextManager[object]
) -> tuple[float, float, list[Result]]:
    """Seconds of the work as it was `before` and as it is, the quicker of two each, and all four results."""
    seconds: dict[bool, float] = {}
    results = []
    for now in (False, True) * 2:
        start = time.perf_counter()
        with nullcontext() if now else before:
            results.append(work())
        taken = time.perf_counter() - start
        seconds[now] = min(taken, seconds.get(now, taken))
    return seconds[False], seconds[True], results
