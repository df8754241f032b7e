"""Zero-Cost-PT on a network of your own, or on any search space: python -m foresight_ext --help."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m foresight_ext", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import compute_of, images_of, place_of, search_settings_of
from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.commands.proposal import add_proposal_options, propose
from foresight_ext.commands.spaces import add_space_options, space_of
from foresight_ext.commands.training import add_training_options, spec_with

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.run import SearchRun

MODULE = "foresight_ext"


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search, validate and train; returns the exit code."""
    parser = Parser(
        MODULE,
        "Zero-Cost-PT on a network of your own with MixedOps, or on any search space: search, validation, "
        "training of the winner.",
    )
    add_space_options(parser)
    add_proposal_options(parser, batch_size=64, seed=0, skip_training=False)
    add_training_options(
        parser,
        epochs=None,
        batch_size=None,
        learning_rate=None,
        momentum=None,
        weight_decay=None,
        grad_clip=None,
        batch_option="--train_batch_size",
        none_means="the space's own",
    )
    return propose(MODULE, parser, argv, _run, spec_with)


def _run(options: argparse.Namespace) -> "SearchRun":
    from foresight_ext.search.run import SearchRun

    space = space_of(options)
    settings, place, compute = search_settings_of(options), place_of(options), compute_of(options)
    return SearchRun(space, images_of(options), settings, place, compute, options.stage)


if __name__ == "__main__":
    sys.exit(main())
