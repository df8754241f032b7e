"""Trains a DARTS architecture on ImageNet: python -m sota.cnn.train_imagenet --arch NAME --data DIR.

DIR has train/ and val/ with class folders, or imagenet-train-256.h5 and imagenet-val-256.h5. Several GPUs:
--nproc_per_node N, or torchrun ... -m sota.cnn.train_imagenet on each of several machines.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.cnn.train_imagenet", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.parser import Parser, entry_point, whole_number
from foresight_ext.commands.train import TrainCommand
from foresight_ext.commands.training import add_imagenet_recipe_options
from foresight_ext.images.source import ImageNetSettings
from sota.cnn.settings import TrainedSkeleton
from sota.cnn.train import ARCH, add_network_options, darts_recipe, darts_spec, find

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.training.spec import TrainSpec


def add_recipe_options(parser: Parser, batch_option: str) -> None:
    """The options of a training, with ImageNet's defaults and what its recipe has besides."""
    add_imagenet_recipe_options(parser, batch_option)
    add_network_options(parser, TrainedSkeleton(48, 14), cutout=False, drop_path_prob=0.0, image_size=224)


def add_crop_option(parser: Parser) -> None:
    """The size of ImageNet's images, in the search and in the training."""
    parser.option("--crop_size", type=whole_number(32), default=224, help="side of the crops in pixels")


def images_of(options: argparse.Namespace) -> ImageNetSettings:
    """ImageNet's images as the options ask for them."""
    return ImageNetSettings(options.data, options.crop_size, options.workers)


def spec_of(options: argparse.Namespace, batch_size: int | None) -> "TrainSpec":
    """How the options train a network on ImageNet."""
    from sota.cnn.network import NetworkImageNet

    assert batch_size is not None  # the option has a default
    recipe = replace(
        darts_recipe(options, batch_size), decay=options.decay, label_smoothing=options.label_smoothing
    )
    return darts_spec(options, recipe, NetworkImageNet, usual=224)


def _add_options(parser: Parser, batch_option: str) -> None:
    add_crop_option(parser)
    add_recipe_options(parser, batch_option)


COMMAND = TrainCommand(
    "sota.cnn.train_imagenet",
    "Train a DARTS architecture on ImageNet.",
    ARCH,
    find,
    _add_options,
    spec_of,
    images_of,
    seed=2,
    dataset=None,
)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train the architecture asked for on ImageNet; returns the exit code."""
    return COMMAND.run(argv)


if __name__ == "__main__":
    sys.exit(main())
