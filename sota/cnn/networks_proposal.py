"""Zero-Cost-PT on the DARTS spaces S1 to S6: python -m sota.cnn.networks_proposal --help."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.cnn.networks_proposal", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import compute_of, images_of, place_of, search_settings_of
from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.commands.proposal import add_proposal_options, propose
from sota.cnn import train
from sota.cnn.options import add_space_options

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.run import SearchRun

MODULE = "sota.cnn.networks_proposal"


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search, validate and train; returns the exit code."""
    parser = Parser(MODULE, "Zero-Cost-PT on a DARTS space: search, validation, training of the winner.")
    add_proposal_options(parser, batch_size=64, seed=2, skip_training=False)
    add_space_options(parser)
    train.add_recipe_options(parser, batch_option="--train_batch_size")
    return propose(MODULE, parser, argv, _run)


def _run(options: argparse.Namespace) -> "SearchRun":
    from foresight_ext.search.run import SearchRun
    from sota.cnn.space import DartsSpace

    space = DartsSpace(options.space, options.search_channels, options.search_layers)
    space.train_spec = train.spec_of(options, options.train_batch_size)
    settings, place, compute = search_settings_of(options), place_of(options), compute_of(options)
    return SearchRun(space, images_of(options), settings, place, compute, options.stage)


if __name__ == "__main__":
    sys.exit(main())
