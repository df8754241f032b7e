"""Zero-Cost-PT on NAS-Bench-Macro over seeds, as a table: python -m sota.nasbench_macro.reproduce --help."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.nasbench_macro.reproduce", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import compute_of, images_of, place_of
from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.commands.reproduce import add_reproduce_options, reproduce
from sota.nasbench_macro.networks_proposal import add_own_options, lookup_of

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.run import SearchRun
    from foresight_ext.search.settings import SearchSettings


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search, validate and ask the benchmark for every combination; returns the exit code."""
    parser = Parser("sota.nasbench_macro.reproduce", "Zero-Cost-PT on NAS-Bench-Macro over several seeds.")
    add_reproduce_options(parser)
    add_own_options(parser)
    options = parser.parse_args(argv)

    from foresight_ext.search.run import SearchRun
    from sota.nasbench_macro.space import MacroSpace

    images, place, compute, lookup = (
        images_of(options),
        place_of(options),
        compute_of(options),
        lookup_of(options),
    )

    def make(settings: "SearchSettings") -> "SearchRun":
        space = MacroSpace(options.init_channels)
        return SearchRun(space, images, settings, place, compute, "all", lookup)

    return reproduce(options, make)


if __name__ == "__main__":
    sys.exit(main())
