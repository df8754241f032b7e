"""Draws accuracy against a cost of all architectures: python -m nasbench201.tradeoff FOLDER --cost NAME."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m nasbench201.tradeoff", file=sys.stderr)
    sys.exit(2)

import numpy as np

from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.commands.visualize import add_out_options, draw_into, out_paths
from foresight_ext.drawing import save_figure
from foresight_ext.errors import UserError
from foresight_ext.runs.results import BEST
from nasbench201.benchmark import BENCHMARKED, Benchmark, add_benchmark_option, find_benchmark, no_benchmark
from nasbench201.genotype import format_genotype, parse_genotype
from nasbench201.hardware import Hardware, add_hardware_option, hardware_of, unit_of
from nasbench201.visualize import find_genotype

if TYPE_CHECKING:  # slow to import
    from matplotlib.figure import Figure

NAME = "tradeoff"
_TICKS = (*range(0, 90, 10), 85, 90, 92, 94, 96, 98)


@dataclass(frozen=True)
class Tradeoff:
    """Costs and accuracies (n) of architectures; `front`: the numbers of the Pareto-optimal ones, by cost."""

    archs: list[str]
    costs: np.ndarray
    accuracies: np.ndarray
    front: np.ndarray

    @classmethod
    def of(cls, benchmark: Benchmark, hardware: Hardware, cost: str, dataset: str) -> "Tradeoff":
        """Of all architectures that both tables know. UserError if there are none, or no such columns."""
        archs = [arch for arch in benchmark if hardware.cost(arch, cost) is not None]
        if not archs:
            raise UserError(
                f"--cost {cost}: '{hardware.path}' knows it of no architecture of '{benchmark.path}'"
            )
        costs = np.array([hardware.cost(arch, cost) for arch in archs], float)
        accuracies = np.array([benchmark.accuracy(arch, dataset) for arch in archs])
        return cls(archs, costs, accuracies, pareto_front(costs, accuracies))

    def best_within(self, cost: float) -> int:
        """The number of the most accurate architecture that costs no more."""
        return int(self.front[np.searchsorted(self.costs[self.front], cost, side="right") - 1])


def pareto_front(costs: np.ndarray, accuracies: np.ndarray) -> np.ndarray:
    """The numbers of the points (n) that no other one undercuts or equals in both, by cost."""
    order = np.lexsort([-accuracies, costs])
    best = np.maximum.accumulate(accuracies[order])
    return order[np.concatenate([[True], best[1:] > best[:-1]])]


def figure_of(tradeoff: Tradeoff, found: dict[str, int], cost: str, dataset: str) -> "Figure":
    """All architectures as points, the Pareto front as a line, and those that were found by their names."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    points = axes.scatter(
        tradeoff.costs, tradeoff.accuracies, s=3, c="#90a4ae", linewidths=0, label="all architectures"
    )
    points.set_rasterized(True)  # an SVG of 15,625 circles opens slowly
    front = tradeoff.front
    line: dict[str, Any] = {"where": "post", "color": "#1565c0", "linewidth": 1.3}
    axes.step(tradeoff.costs[front], tradeoff.accuracies[front], label="Pareto front", **line)
    for number, (name, index) in enumerate(found.items()):
        look: dict[str, Any] = {
            "marker": "*osDvP^"[number % 7],
            "color": f"C{1 + number % 9}",
            "markersize": 10,
        }
        look |= {"linestyle": "none", "markeredgecolor": "black", "label": name}
        axes.plot(tradeoff.costs[index], tradeoff.accuracies[index], **look)
    device, kind = cost.rsplit("_", 1)
    axes.set_xlabel(f"{kind} on {device} ({unit_of(cost)})", parse_math=False)
    axes.set_ylabel(f"test accuracy on {dataset} (%)")
    # the best differ by tenths, the worst by tens: as far apart as the logarithms of their errors
    axes.set_yscale("function", functions=(_stretched, lambda y: 101 - np.exp(-y)))
    axes.set_yticks([one for one in _TICKS if tradeoff.accuracies.min() <= one <= tradeoff.accuracies.max()])
    axes.grid(alpha=0.3)
    for text in figure.legend(loc="outside lower left", fontsize=8).get_texts():
        text.set_parse_math(False)
    return figure


def _stretched(accuracy: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(101 - accuracy, 0.1))


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Draw, and tell how far what was found is from the front; returns the exit code."""
    parser = Parser("nasbench201.tradeoff", "Accuracy against latency or energy of all architectures.")
    parser.add_argument(
        "networks",
        nargs="*",
        metavar="FOLDER|FILE.json|ARCH",
        help=f"networks to show: run folders with their {BEST}, such files, or architecture strings",
    )
    parser.option(
        "--cost", default=None, metavar="NAME", help="a column of the hardware table; none means its first"
    )
    parser.option("--dataset", choices=BENCHMARKED, default=BENCHMARKED[0], help="whose test accuracies")
    add_benchmark_option(parser)
    add_hardware_option(parser)
    add_out_options(parser, [NAME])
    options = parser.parse_args(argv)
    paths = out_paths(options, [NAME])
    hardware = hardware_of(options, needed="no costs")
    path = find_benchmark(options.benchmark)
    if path is None:
        raise no_benchmark()
    assert hardware is not None  # it is needed
    cost, dataset = options.cost or next(iter(hardware.costs)), options.dataset
    genotypes = {
        name: format_genotype(parse_genotype(find_genotype(where)))
        for name, where in zip(_names(options.networks), options.networks)
    }
    tradeoff = Tradeoff.of(Benchmark.open(path), hardware, cost, dataset)
    numbers = {arch: number for number, arch in enumerate(tradeoff.archs)}
    for name, genotype in genotypes.items():
        if genotype not in numbers:
            raise UserError(f"{name}: accuracy and {cost} of {genotype} are not both known")
    found = {name: numbers[genotype] for name, genotype in genotypes.items()}
    print(f"{len(tradeoff.archs)} architectures, {len(tradeoff.front)} of them on the Pareto front")
    for name, index in found.items():
        _tell(tradeoff, name, index, cost, dataset)
    draw_into(
        paths, lambda number, path: save_figure(lambda: figure_of(tradeoff, found, cost, dataset), path)
    )
    return 0


def _tell(tradeoff: Tradeoff, name: str, index: int, cost: str, dataset: str) -> None:
    """What a network has, and how far it is from the front."""
    accuracy, its_cost = tradeoff.accuracies[index], tradeoff.costs[index]
    best = tradeoff.best_within(its_cost)
    told = f"{name}: {accuracy:.2f}% on {dataset}, {cost} {its_cost:.4f} {unit_of(cost)}; "
    behind = tradeoff.accuracies[best] - accuracy
    print(told + f"{behind:.2f} below the best that costs no more, {tradeoff.archs[best]}")


def _names(given: Sequence[str]) -> list[str]:
    """What networks are called in the picture: by their run's name, or as they were given."""
    paths = [Path(where) for where in given]
    names = [path.parent.name if path.name == BEST else path.name for path in paths]
    return [where if "|" in where or names.count(name) > 1 else name for where, name in zip(given, names)]


if __name__ == "__main__":
    sys.exit(main())
