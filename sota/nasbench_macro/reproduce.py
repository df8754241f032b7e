"""Zero-Cost-PT on NAS-Bench-Macro over seeds, as a table: python -m sota.nasbench_macro.reproduce --help."""

import sys
from collections.abc import Sequence

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.nasbench_macro.reproduce", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.commands.reproduce import add_reproduce_options, reproduce
from sota.nasbench_macro.networks_proposal import add_own_options, lookup_of


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search, validate and ask the benchmark for every combination; returns the exit code."""
    parser = Parser("sota.nasbench_macro.reproduce", "Zero-Cost-PT on NAS-Bench-Macro over several seeds.")
    add_reproduce_options(parser)
    add_own_options(parser)
    options = parser.parse_args(argv)

    from sota.nasbench_macro.space import MacroSpace

    return reproduce(options, lambda: MacroSpace(options.init_channels), lookup_of(options))


if __name__ == "__main__":
    sys.exit(main())
