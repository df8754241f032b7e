"""Zero-Cost-PT on NAS-Bench-201 over seeds, as a table: python -m nasbench201.reproduce --help."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m nasbench201.reproduce", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import compute_of, images_of, place_of
from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.commands.reproduce import add_reproduce_options, reproduce
from nasbench201.benchmark import add_benchmark_option
from nasbench201.networks_proposal import lookup_of
from nasbench201.train import add_skeleton_options, skeleton_of

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.run import SearchRun
    from foresight_ext.search.settings import SearchSettings


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search, validate and ask the benchmark for every combination; returns the exit code."""
    parser = Parser("nasbench201.reproduce", "Zero-Cost-PT on NAS-Bench-201 over several seeds, as a table.")
    add_reproduce_options(parser)
    add_skeleton_options(parser)
    add_benchmark_option(parser)
    options = parser.parse_args(argv)

    from foresight_ext.search.run import SearchRun
    from nasbench201.space import NASBench201Space

    images, place, compute, lookup = (
        images_of(options),
        place_of(options),
        compute_of(options),
        lookup_of(options),
    )
    skeleton = asdict(skeleton_of(options))

    def make(settings: "SearchSettings") -> "SearchRun":
        return SearchRun(NASBench201Space(**skeleton), images, settings, place, compute, "all", lookup)

    return reproduce(options, make)


if __name__ == "__main__":
    sys.exit(main())
