"""Zero-Cost-PT on NAS-Bench-201: python -m nasbench201.networks_proposal --help."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m nasbench201.networks_proposal", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import compute_of, images_of, place_of, search_settings_of
from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.commands.proposal import add_proposal_options, propose
from nasbench201 import train
from nasbench201.benchmark import DATA_FOLDER, PTH_NAMES, Benchmark, add_benchmark_option, find_benchmark
from nasbench201.hardware import add_hardware_option, hardware_of, is_cost

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.report import Lookup
    from foresight_ext.search.run import SearchRun

MODULE = "nasbench201.networks_proposal"


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search, validate, look the answer up in the benchmark, train if asked for; returns the exit code."""
    parser = Parser(MODULE, "Zero-Cost-PT on NAS-Bench-201: search, then validation.")
    add_proposal_options(parser, batch_size=256, seed=0, skip_training=True)
    train.add_skeleton_options(parser)
    add_benchmark_option(parser)
    add_hardware_option(parser)
    train.add_recipe_options(parser, batch_option="--train_batch_size")
    return propose(MODULE, parser, argv, _run)


def lookup_of(options: argparse.Namespace) -> "Lookup":
    """What asks the benchmark that the options name."""
    from foresight_ext.search.report import Lookup

    missing = (
        f"put {' or '.join(PTH_NAMES)} or a *nasbench201*.csv into {DATA_FOLDER}, or give --benchmark FILE"
    )
    path = find_benchmark(options.benchmark)
    return Lookup(Benchmark.open(path).query if path is not None else None, missing)


def _run(options: argparse.Namespace) -> "SearchRun":
    from foresight_ext.search.run import SearchRun
    from nasbench201.space import NASBench201Space

    space = NASBench201Space(**asdict(train.skeleton_of(options)))
    space.train_spec = train.spec_of(options, options.train_batch_size)
    limited = next((f"--at_most {name}" for name in options.at_most or {} if is_cost(name)), "")
    if (hardware := hardware_of(options, needed=limited)) is not None:
        space.measured = hardware.costs
    return SearchRun(
        space,
        images_of(options),
        search_settings_of(options),
        place_of(options),
        compute_of(options),
        options.stage,
        lookup_of(options),
    )


if __name__ == "__main__":
    sys.exit(main())
