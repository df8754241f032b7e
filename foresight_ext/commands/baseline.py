"""Baselines of any space, through its search command: python -m foresight_ext.commands.baseline --help."""

import importlib
import sys
from collections.abc import Sequence

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m foresight_ext.commands.baseline", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import Parser, described, entry_point, one_of
from foresight_ext.search import SPACES

# the options that make a baseline of a search; what a user gives comes after them, and counts
BASELINES = {
    "random": ("--edge_decision=sample", "--skip_training"),
    "max_params": ("--max_params", "--skip_training"),
}
# spaces with a search command of their own, and whether that is told which of its spaces is meant
_COMMANDS = {
    "nas-bench-201": ("nasbench201.networks_proposal", False),
    **{f"s{number}": ("sota.cnn.networks_proposal", True) for number in range(1, 7)},
    "mobilenet": ("sota.mobilenet.networks_proposal", False),
}
_ANY = ("foresight_ext.__main__", True)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Run a baseline by the search command of its space; returns the exit code."""
    parser = Parser(
        "foresight_ext.commands.baseline",
        "The paper's baselines. All other options are those of the space's search command: "
        "--space NAME --help lists them. The architecture is trained as well with --no_skip_training.",
    )
    parser.add_argument(
        "baseline",
        choices=tuple(BASELINES),
        help="random (architectures are drawn, --pool_size of them, and validated) or max_params (the one of "
        "the most parameters, within --at_most)",
    )
    parser.add_argument(
        "--space", type=one_of(SPACES), required=True, metavar="NAME", help=f"one of {described(SPACES)}"
    )
    given = list(sys.argv[1:] if argv is None else argv)
    asked = {"-h", "--help"} & set(given) if any(one.startswith("--space") for one in given) else set()
    options, others = parser.parse_known_args([one for one in given if one not in asked])
    module, told = _COMMANDS.get(options.space, _ANY)
    which = [f"--space={options.space}"] if told else []
    code: int = importlib.import_module(module).main(
        [*BASELINES[options.baseline], *which, *others, *sorted(asked)]
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
