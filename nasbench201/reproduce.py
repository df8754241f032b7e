"""Zero-Cost-PT on NAS-Bench-201 over seeds, as a table: python -m nasbench201.reproduce --help."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m nasbench201.reproduce", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.commands.reproduce import add_reproduce_options, reproduce
from nasbench201.benchmark import add_benchmark_option
from nasbench201.networks_proposal import lookup_of
from nasbench201.train import add_skeleton_options, skeleton_of


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search, validate and ask the benchmark for every combination; returns the exit code."""
    parser = Parser("nasbench201.reproduce", "Zero-Cost-PT on NAS-Bench-201 over several seeds, as a table.")
    add_reproduce_options(parser)
    add_skeleton_options(parser)
    add_benchmark_option(parser)
    options = parser.parse_args(argv)

    from nasbench201.space import NASBench201Space

    skeleton = asdict(skeleton_of(options))
    return reproduce(options, lambda: NASBench201Space(**skeleton), lookup_of(options))


if __name__ == "__main__":
    sys.exit(main())
