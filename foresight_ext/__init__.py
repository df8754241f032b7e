"""Zero-cost proxies and operation scoring: everything the search spaces share."""

from typing import Any


def __getattr__(name: str) -> Any:
    # nothing loads PyTorch before it is asked for: --help is instant
    if name in ("find_measures", "find_measures_arrays"):
        from foresight_ext import predictive

        return getattr(predictive, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
