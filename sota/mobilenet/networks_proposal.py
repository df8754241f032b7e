"""Zero-Cost-PT on the MobileNet-like space: python -m sota.mobilenet.networks_proposal --help."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.mobilenet.networks_proposal", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import (
    IMAGENET,
    compute_of,
    images_or_imagenet_of,
    place_of,
    search_settings_of,
)
from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.commands.proposal import add_proposal_options, propose
from sota.mobilenet import train

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.run import SearchRun

MODULE = "sota.mobilenet.networks_proposal"


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search and validate, and train where that is asked for; returns the exit code."""
    parser = Parser(MODULE, "Zero-Cost-PT on the MobileNet-like space: search, then validation.")
    add_proposal_options(parser, batch_size=64, seed=0, skip_training=True, dataset=None)
    train.add_options(parser, batch_option="--train_batch_size")
    return propose(MODULE, parser, argv, _run)


def _run(options: argparse.Namespace) -> "SearchRun":
    from foresight_ext.search.run import SearchRun
    from sota.mobilenet.space import MobileNetSpace

    space = MobileNetSpace(options.width, all_images=options.dataset == IMAGENET)
    space.train_spec = train.spec_of(options, options.train_batch_size)
    images, settings = images_or_imagenet_of(options), search_settings_of(options)
    return SearchRun(space, images, settings, place_of(options), compute_of(options), options.stage)


if __name__ == "__main__":
    sys.exit(main())
