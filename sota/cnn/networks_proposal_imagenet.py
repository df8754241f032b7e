"""Zero-Cost-PT on the DARTS spaces with ImageNet: python -m sota.cnn.networks_proposal_imagenet --help."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.cnn.networks_proposal_imagenet", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import compute_of, place_of, search_settings_of
from foresight_ext.commands.parser import Parser, entry_point
from foresight_ext.commands.proposal import add_proposal_options, propose
from sota.cnn import train_imagenet
from sota.cnn.options import add_space_options

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.run import SearchRun

MODULE = "sota.cnn.networks_proposal_imagenet"


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search and validate, and train where that is asked for; returns the exit code."""
    parser = Parser(MODULE, "Zero-Cost-PT on a DARTS space with ImageNet: search and validation.")
    add_proposal_options(parser, batch_size=64, seed=2, skip_training=True, dataset=None)
    add_space_options(parser)
    train_imagenet.add_crop_option(parser)
    train_imagenet.add_recipe_options(parser, batch_option="--train_batch_size")
    return propose(MODULE, parser, argv, _run)


def _run(options: argparse.Namespace) -> "SearchRun":
    from foresight_ext.search.run import SearchRun
    from sota.cnn.space import DartsImageNetSpace

    space = DartsImageNetSpace(options.space, options.search_channels, options.search_layers)
    space.train_spec = train_imagenet.spec_of(options, options.train_batch_size)
    images = train_imagenet.images_of(options)
    settings, place, compute = search_settings_of(options), place_of(options), compute_of(options)
    return SearchRun(space, images, settings, place, compute, options.stage)


if __name__ == "__main__":
    sys.exit(main())
