"""Scores NAS-Bench-201 networks by zero-cost proxies: python -m nasbench201.score_archs --metrics NAME.

A run folder grows: more --metrics or a larger --sample compute what is missing.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import product

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m nasbench201.score_archs", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import Parser, console_log, entry_point
from foresight_ext.commands.scoring import add_scoring_options, score, settings_of
from foresight_ext.scoring import networks
from foresight_ext.scoring.published import Naming
from nasbench201.benchmark import DATA_FOLDER, Benchmark, add_benchmark_option, find_benchmark
from nasbench201.genotype import EDGES, OPERATIONS, SPACE_SIZE, format_genotype, parse_genotype
from nasbench201.train import add_skeleton_options

# the column with the genotypes, as it is called by NAS-Bench-Suite-Zero, benchmarks, our scores.csv
NAMING = Naming(
    (("net_str",), ("arch",), ("architecture",)), lambda cells: format_genotype(parse_genotype(cells[0]))
)


def every_genotype() -> list[str]:
    """All 15,625 of them, in the order of their operations."""
    return [format_genotype(operations) for operations in product(OPERATIONS, repeat=len(EDGES))]


def sampled(seed: int, count: int) -> list[str]:
    """So many architectures in the seed's random order: a smaller sample begins a larger one."""
    return networks.sampled(seed, every_genotype(), count)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line."""
    parser = Parser("nasbench201.score_archs", "Score NAS-Bench-201 networks by zero-cost proxies.")
    add_scoring_options(parser, SPACE_SIZE)
    add_skeleton_options(parser)
    add_benchmark_option(parser)
    return parser.parse_args(argv)


def _run(options: argparse.Namespace) -> None:
    from foresight_ext.scoring.run import Networks
    from nasbench201.space import NASBench201Space

    order = sampled(options.seed, SPACE_SIZE)
    sample = order[: options.sample]
    accuracies, note = None, ""
    path = find_benchmark(options.benchmark)
    if path is None:
        note = f"no benchmark, so no correlations: put one into {DATA_FOLDER}, or give --benchmark"
    else:
        benchmark = Benchmark.open(path)
        accuracies = {name: [benchmark.accuracy(one, name) for one in sample] for name in benchmark.datasets}
    settings = settings_of(options, NASBench201Space(options.init_channels, options.cells))
    score(options, settings, Networks(sample, order, accuracies, note), NAMING, "nas-bench-201-scores")


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Score networks, and tell how scores and accuracies go together; returns the exit code."""
    options = parse(argv)
    with console_log():
        _run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
