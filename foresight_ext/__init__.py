"""Zero-cost proxies and operation scoring: everything the search spaces share. What is here is public."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foresight_ext.choices.mixed import MixedNode as MixedNode
    from foresight_ext.choices.mixed import MixedOp as MixedOp
    from foresight_ext.choices.mixed import Zero as Zero
    from foresight_ext.choices.space import NetworkSpace as NetworkSpace
    from foresight_ext.choices.supernet import fixed as fixed
    from foresight_ext.choices.supernet import supernet_of as supernet_of
    from foresight_ext.choices.zero_cost_pt import zero_cost_pt as zero_cost_pt
    from foresight_ext.images import DATASETS as DATASETS
    from foresight_ext.images.batches import Batch as Batch
    from foresight_ext.measures import PROXIES as PROXIES
    from foresight_ext.measures.predictive import find_measures as find_measures
    from foresight_ext.measures.predictive import find_measures_arrays as find_measures_arrays
    from foresight_ext.search import SPACES as SPACES
    from foresight_ext.search.discretise import discretise as discretise
    from foresight_ext.search.orders import ORDERS as ORDERS
    from foresight_ext.search.scoring import operation_scores as operation_scores
    from foresight_ext.search.space import Space as Space
    from foresight_ext.supernets.supernet import Choice as Choice
    from foresight_ext.supernets.supernet import Node as Node
    from foresight_ext.supernets.supernet import Supernet as Supernet

# public name -> the module that holds it, loaded when the name is first used: importing this is instant
_PUBLIC = {
    "zero_cost_pt": "choices.zero_cost_pt",
    "MixedOp": "choices.mixed",
    "MixedNode": "choices.mixed",
    "Zero": "choices.mixed",
    "NetworkSpace": "choices.space",
    "supernet_of": "choices.supernet",
    "fixed": "choices.supernet",
    "find_measures": "measures.predictive",
    "find_measures_arrays": "measures.predictive",
    "discretise": "search.discretise",
    "operation_scores": "search.scoring",
    "Batch": "images.batches",
    "Choice": "supernets.supernet",
    "Node": "supernets.supernet",
    "Supernet": "supernets.supernet",
    "Space": "search.space",
    "PROXIES": "measures",
    "ORDERS": "search.orders",
    "DATASETS": "images",
    "SPACES": "search",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
