"""Zero-Cost-PT on the DARTS spaces S1 to S6: python -m sota.cnn.networks_proposal --help."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from foresight_ext.cli import Parser, entry_point
from foresight_ext.proposal import add_proposal_options, propose
from sota.cnn import train
from sota.cnn.options import add_space_options

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.pipeline import Pipeline

MODULE = "sota.cnn.networks_proposal"


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search, validate and train; returns the exit code."""
    parser = Parser(MODULE, "Zero-Cost-PT on a DARTS space: search, validation, training of the winner.")
    add_proposal_options(parser, batch_size=64, seed=2, skip_training=False)
    add_space_options(parser)
    train.add_recipe_options(parser, batch_option="--train_batch_size")
    return propose(MODULE, parser, argv, _pipeline, train)


def _pipeline(options: argparse.Namespace) -> "Pipeline":
    from foresight_ext.pipeline import Pipeline
    from sota.cnn.space import DartsSpace

    return Pipeline(DartsSpace(options.space, options.search_channels, options.search_layers), options)


if __name__ == "__main__":
    sys.exit(main())
