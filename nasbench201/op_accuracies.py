"""What operations are worth by the benchmark: best-acc and avg-acc of Zero-Cost-PT, section 3."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from foresight_ext.errors import UserError
from nasbench201.benchmark import Benchmark
from nasbench201.genotype import EDGES, OPERATIONS, SPACE_SIZE, format_genotype, parse_genotype

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.atlas import Rows

MEANING = (
    "best-acc and avg-acc: the best and the mean test accuracy, in percent, of all architectures that have "
    "the operation on the edge."
)


def operation_accuracies(benchmark: Benchmark) -> dict[str, "Rows"]:
    """By name, such as "best-acc cifar10", the test accuracies of operations in percent.

    best-acc and avg-acc of an operation o on an edge e are the maximum and the mean over all architectures
    that have o on e. As published the maximum is over single runs, where the benchmark tells them, and over
    the means of runs otherwise. UserError if architectures are missing.
    """
    if len(benchmark) < SPACE_SIZE:
        raise UserError(
            f"benchmark '{benchmark.path}' holds {len(benchmark)} of {SPACE_SIZE} architectures: what an "
            "operation is worth needs them all"
        )
    architectures = list(benchmark)
    cells = np.array([[OPERATIONS.index(one) for one in parse_genotype(arch)] for arch in architectures])
    found: dict[str, Rows] = {}
    for dataset in benchmark.datasets:
        best = np.array([benchmark.best_run(arch, dataset) for arch in architectures])
        mean = np.array([benchmark.accuracy(arch, dataset) for arch in architectures])
        for name, column, reduce in (("best-acc", best, np.max), ("avg-acc", mean, np.mean)):
            found[f"{name} {dataset}"] = {
                edge: [float(reduce(column[cells[:, edge] == one])) for one in range(len(OPERATIONS))]
                for edge in range(len(EDGES))
            }
    return found


def architecture(candidates: Sequence[int]) -> str:
    """The genotype of the operations (their indices) on the six edges."""
    return format_genotype([OPERATIONS[one] for one in candidates])


def standing(benchmark: Benchmark, candidates: Sequence[int]) -> dict[str, dict[str, float | int]]:
    """Per data set: rank, and error in percent, of the architecture of these operations."""
    asked = benchmark.query(architecture(candidates))
    return {
        dataset: {"rank": found["rank"], "error": round(100 - found["accuracy"], 4)}
        for dataset, found in asked.items()
    }
