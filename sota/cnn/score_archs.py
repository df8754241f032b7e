"""Scores DARTS architectures by zero-cost proxies: python -m sota.cnn.score_archs --table FILE.

A run folder grows: more --metrics or a larger --sample compute what is missing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.cnn.score_archs", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import Parser, console_log, entry_point, user_path
from foresight_ext.commands.scoring import add_scoring_options, score, settings_of
from foresight_ext.errors import UserError
from foresight_ext.scoring.published import Naming, Table, fault
from sota.cnn.candidates import CELL_TYPES, CONCAT
from sota.cnn.genotypes import find_genotype
from sota.cnn.notation import Genotype, check_genotype, format_genotype, parse_genotype
from sota.cnn.options import add_size_options
from sota.cnn.settings import SearchSkeleton

ACCURACY = "surrogate_accuracy"
# the networks whose parameters NAS-Bench-Suite-Zero's table gives, see README.md
SCORED = SearchSkeleton(search_channels=32, search_layers=8)
_NOTE = (
    "accuracies are what a surrogate (NAS-Bench-301) predicts: these architectures were not "
    "trained, and what the surrogate gets wrong is in the correlations, too"
)


def _genotype(cells: Sequence[str]) -> str:
    """The JSON form of what a table calls an architecture: its two cells as op@input lists, or that form."""
    if len(cells) == 1:
        return format_genotype(parse_genotype(cells[0]))
    edges = []
    for cell in cells:
        pairs = [pair.partition("@") for pair in cell.split()]
        edges.append(tuple((name, int(source) if source.isdecimal() else -1) for name, _, source in pairs))
    genotype = Genotype(edges[0], CONCAT, edges[1], CONCAT)
    check_genotype(genotype, " | ".join(cells))
    return format_genotype(genotype)


# two columns as in NAS-Bench-Suite-Zero's table, or that of our scores.csv
NAMING = Naming((CELL_TYPES, ("architecture",)), _genotype)


def read_table(path: Path) -> dict[str, float]:
    """The surrogate's accuracy, in percent, of each genotype (its JSON form) of a table.

    UserError if it is none, or damaged.
    """
    table = Table.open(path, "--table", NAMING)
    if ACCURACY not in table.columns:
        columns = ", ".join(table.columns) or "no others"
        raise fault(path, "--table", f"has no column {ACCURACY} beside the architectures: it has {columns}")
    found = {one: held[ACCURACY] for one, held in table.numbers([ACCURACY]).items()}
    for number, accuracy in enumerate(found.values(), start=2):
        if not 0 <= accuracy <= 100:
            told = f"{accuracy} as {ACCURACY}: it must be a percentage from 0 to 100"
            raise fault(path, "--table", f"is damaged: row {number} holds {told}")
    if len(found) < 2:
        raise fault(path, "--table", f"holds {len(found) or 'no'} architectures: two or more are needed")
    return found


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line."""
    parser = Parser("sota.cnn.score_archs", "Score DARTS architectures by zero-cost proxies.")
    parser.add_argument(
        "--table",
        type=user_path,
        required=True,
        metavar="FILE",
        help=f"a CSV of architectures with what a surrogate predicts of them: normal, reduce, {ACCURACY}",
    )
    add_scoring_options(parser, compare="those of --table")
    parser.option(
        "--arch",
        action="append",
        default=None,
        metavar="NAME|FOLDER|JSON",
        help="an architecture to be ranked among those of the table, named as in a training; may be repeated",
    )
    add_size_options(parser, SCORED)
    return parser.parse_args(argv)


def _run(options: argparse.Namespace) -> None:
    from foresight_ext.scoring.networks import sampled
    from foresight_ext.scoring.run import Networks
    from sota.cnn.space import DartsSpace

    table = read_table(options.table)
    order = sampled(options.seed, list(table), len(table))
    if options.sample is not None and options.sample > len(order):
        raise UserError(f"--sample {options.sample}: the table holds {len(order)} architectures")
    sample = order[: options.sample]
    judged: dict[str, str] = {}
    for where in options.arch or ():
        name, genotype = find_genotype(where)
        if name in judged:
            raise UserError(f"--arch {where}: there is an architecture of the name '{name}' before it")
        judged[name] = format_genotype(genotype)
    accuracies = {"surrogate": [table[one] for one in sample]}
    networks = Networks(sample, order, accuracies, _NOTE, judged)
    settings = settings_of(options, DartsSpace("s5", options.search_channels, options.search_layers))
    score(options, settings, networks, NAMING, "darts-scores", options.table)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Score networks, and tell how scores and accuracies go together; returns the exit code."""
    options = parse(argv)
    with console_log():
        _run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
