"""Zero-Cost-PT on the DARTS spaces with ImageNet: python -m sota.cnn.networks_proposal_imagenet --help."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from foresight_ext.cli import Parser, entry_point
from foresight_ext.proposal import add_proposal_options, propose
from sota.cnn import train_imagenet
from sota.cnn.options import add_space_options

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.pipeline import Pipeline

MODULE = "sota.cnn.networks_proposal_imagenet"


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search and validate, and train where that is asked for; returns the exit code."""
    parser = Parser(MODULE, "Zero-Cost-PT on a DARTS space with ImageNet: search and validation.")
    add_proposal_options(parser, batch_size=64, seed=2, skip_training=True, dataset=None)
    add_space_options(parser)
    train_imagenet.add_crop_option(parser)
    train_imagenet.add_recipe_options(parser, batch_option="--train_batch_size")
    # ImageNet is one data set, prepared in one way
    parser.set_defaults(dataset="imagenet", image_size=None, mean=None, std=None)
    return propose(MODULE, parser, argv, _pipeline, train_imagenet)


def _pipeline(options: argparse.Namespace) -> "Pipeline":
    from foresight_ext.large_images import open_imagenet
    from foresight_ext.pipeline import Pipeline
    from sota.cnn.space import DartsImageNetSpace

    space = DartsImageNetSpace(
        options.space, options.search_channels, options.search_layers, options.crop_size
    )

    def open_data():
        return open_imagenet(options.data, "train", options.workers, options.crop_size)

    return Pipeline(space, options, open_data=open_data)


if __name__ == "__main__":
    sys.exit(main())
