"""What makes the result of search and validation, apart from the space and its images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SearchSettings:
    """The settings of Zero-Cost-PT (Xiang et al. 2023), with the paper's defaults.

    `metrics` are the names of one or more proxies, `combine` the rule that makes one of several (see
    measures.combination). `edge_decision` is the order in which edges are decided (section 4), `pool_size`
    the number of discretisations in the search stage (N), `validate_rounds` that of minibatches in the
    validation stage (V), `batch_size` that of images in a minibatch of both. `pool` is the file of a
    pool that is validated, instead of one that is searched. `at_most` are limits on the sizes of what is
    found, by the names of the space's sizes (`params`, `flops`) and measured costs: numbers, or shares of the
    largest network such as "60%".
    """

    seed: int = 0
    metrics: tuple[str, ...] = ("jacob",)
    combine: str = "rank"
    edge_decision: str = "random"
    pool_size: int = 10
    validate_rounds: int = 100
    batch_size: int = 64
    pool: Path | None = None
    at_most: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def proxies(self) -> dict[str, Any]:
        """The proxies' settings; with one name `combine` means nothing, so it is no setting then."""
        combine = {"combine": self.combine} if len(self.metrics) > 1 else {}
        return {"metrics": ",".join(self.metrics), **combine}

    def as_written(self) -> dict[str, Any]:
        """The settings by the names of their options, for config.json; not what a given pool makes idle."""
        searched = ("edge_decision", "pool_size") if self.pool is None else ()
        names = ("seed", *searched, "validate_rounds", "batch_size")
        # runs from before there were limits go on
        limits = {"at_most": dict(self.at_most)} if self.at_most and self.pool is None else {}
        return {**self.proxies, **{name: getattr(self, name) for name in names}, **limits}

    def run_name(self, save: str, dataset: str) -> str:
        """The name of the run's folder, which starts with `save`."""
        proxies = "-".join(self.proxies.values()).replace(",", "+")
        origin = self.edge_decision if self.pool is None else "pool"
        return f"{save}-seed{self.seed}-{dataset}-{proxies}-{origin}"
