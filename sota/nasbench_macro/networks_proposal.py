"""Zero-Cost-PT on NAS-Bench-Macro: python -m sota.nasbench_macro.networks_proposal --help."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.nasbench_macro.networks_proposal", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import (
    add_search_options,
    compute_of,
    images_of,
    place_of,
    search_settings_of,
)
from foresight_ext.commands.parser import Parser, entry_point, whole_number
from foresight_ext.commands.proposal import propose
from sota.nasbench_macro.benchmark import FILE, Benchmark, add_benchmark_option

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.report import Lookup
    from foresight_ext.search.run import SearchRun

MODULE = "sota.nasbench_macro.networks_proposal"


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search, validate where that is asked for, ask the benchmark; returns the exit code."""
    parser = Parser(MODULE, "Zero-Cost-PT on NAS-Bench-Macro: search, and on request validation.")
    # officially the pool is the result
    add_search_options(parser, batch_size=256, seed=0, stages=("search", "all", "validation"))
    add_own_options(parser)
    parser.set_defaults(skip_training=True, max_params=False)  # the benchmark has trained every network
    return propose(MODULE, parser, argv, _run)


def add_own_options(parser: Parser) -> None:
    """The size of the networks, and the benchmark."""
    parser.option("--init_channels", type=whole_number(1), default=32, help="channels of the stem")
    add_benchmark_option(parser)


def lookup_of(options: argparse.Namespace) -> "Lookup":
    """What asks the benchmark that the options name."""
    from foresight_ext.search.report import Lookup

    path = FILE if options.benchmark is None and FILE.is_file() else options.benchmark
    return Lookup(Benchmark(path).query if path is not None else None, "give --benchmark FILE")


def _run(options: argparse.Namespace) -> "SearchRun":
    from foresight_ext.search.run import SearchRun
    from sota.nasbench_macro.space import MacroSpace

    return SearchRun(
        MacroSpace(options.init_channels),
        images_of(options),
        search_settings_of(options),
        place_of(options),
        compute_of(options),
        options.stage,
        lookup_of(options),
    )


if __name__ == "__main__":
    sys.exit(main())
