"""Trains an architecture of the MobileNet-like space: python -m sota.mobilenet.train --arch NAME.

Several GPUs: --nproc_per_node N, or torchrun ... -m sota.mobilenet.train on each of several machines.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.mobilenet.train", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import add_dataset_options, images_or_imagenet_of
from foresight_ext.commands.parser import Parser, entry_point, real_number
from foresight_ext.commands.train import TrainCommand
from foresight_ext.commands.training import add_imagenet_recipe_options, recipe_of
from sota.mobilenet.genotypes import NETWORK, find_genotype

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.training.spec import TrainSpec


def add_options(parser: Parser, batch_option: str) -> None:
    """The data set, the network's size, and the recipe, that of ImageNet unless it is said otherwise."""
    add_dataset_options(parser, "cifar10", imagenet=True)
    above_0 = real_number(lambda value: value > 0, "above 0")
    parser.option("--width", type=above_0, default=1.0, help="factor of all channels")
    add_imagenet_recipe_options(parser, batch_option)


def spec_of(options: argparse.Namespace, batch_size: int | None) -> "TrainSpec":
    """How the options train a network."""
    from foresight_ext.training.spec import TrainSpec
    from sota.mobilenet.space import MobileNetSpace

    assert batch_size is not None  # the option has a default
    space = MobileNetSpace(options.width)
    recipe = replace(
        recipe_of(options, batch_size), decay=options.decay, label_smoothing=options.label_smoothing
    )
    return TrainSpec(space.build_network, recipe, space.settings())


COMMAND = TrainCommand(
    "sota.mobilenet.train",
    "Train an architecture of the MobileNet-like space.",
    NETWORK,
    find_genotype,
    add_options,
    spec_of,
    images_or_imagenet_of,
    dataset=None,
)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train the architecture asked for; returns the exit code."""
    return COMMAND.run(argv)


if __name__ == "__main__":
    sys.exit(main())
