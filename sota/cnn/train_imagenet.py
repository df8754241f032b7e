"""Trains a DARTS architecture on ImageNet: python -m sota.cnn.train_imagenet --arch NAME --data DIR.

DIR has train/ and val/ with class folders, or imagenet-train-256.h5 and imagenet-val-256.h5. Several GPUs:
--nproc_per_node N, or torchrun ... -m sota.cnn.train_imagenet on each of several machines.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foresight_ext.cli import (
    Parser,
    add_common_options,
    add_training_options,
    entry_point,
    real_number,
    whole_number,
)
from foresight_ext.training_command import add_arch_options, run_training
from sota.cnn.genotypes import ARCHITECTURES, Genotype, find_genotype, format_genotype, parse_genotype
from sota.cnn.train import ARCH, add_network_options, check_image_size, recipe_of

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from torch import nn

    from foresight_ext.large_images import LargeImages
    from foresight_ext.recipe import Recipe


def add_recipe_options(parser: Parser, batch_option: str) -> None:
    """The options of a training, with ImageNet's defaults and what its recipe has besides."""
    add_training_options(
        parser, epochs=250, learning_rate=0.1, batch_size=128, batch_option=batch_option, weight_decay=3e-5
    )
    add_network_options(parser, channels=48, layers=14, cutout=False, drop_path_prob=0.0, image_size=224)
    above_0 = real_number(lambda value: value > 0, "above 0")
    parser.option("--decay", type=above_0, default=0.97, help="factor of the learning rate after every epoch")
    parser.option(
        "--label_smoothing",
        type=real_number(lambda value: 0 <= value < 1, "from 0 to below 1"),
        default=0.1,
        help="label smoothing of the training losses",
    )


def add_crop_option(parser: Parser) -> None:
    """The size of ImageNet's images, in the search and in the training."""
    parser.option("--crop_size", type=whole_number(32), default=224, help="side of the crops in pixels")


def train_network(
    name: str, genotype: Genotype, options: argparse.Namespace, batch_size: int, path: Path
) -> dict[str, Any]:
    """As sota.cnn.train.train_network, on ImageNet."""
    from foresight_ext.datasets import DEFAULT_ROOT
    from foresight_ext.training import Job, train

    names = ("init_channels", "layers", "auxiliary", "crop_size")
    settings = {
        "genotype": format_genotype(genotype),
        **{name: getattr(options, name) for name in names},
        "dataset": options.dataset,
        "data": str(options.data or DEFAULT_ROOT / "imagenet"),
    }
    build = _builder(genotype, options)
    job = Job(name, build, _recipe(options, batch_size), settings, path)
    return train(job, partial(_open_split, options, build), options)


def train_winner(name: str, genotype: str, options: argparse.Namespace, path: Path) -> dict[str, Any]:
    """As sota.cnn.train.train_winner, on ImageNet."""
    return train_network(name, parse_genotype(genotype, name), options, options.train_batch_size, path)


def check_training(options: argparse.Namespace) -> None:
    """As sota.cnn.train.check_training, on ImageNet."""
    from foresight_ext.training import check

    build = _builder(ARCHITECTURES.get(next(iter(ARCHITECTURES))), options)
    check(_recipe(options, options.train_batch_size), partial(_open_split, options, build), options)


def _recipe(options: argparse.Namespace, batch_size: int) -> "Recipe":
    return recipe_of(options, batch_size, decay=options.decay, label_smoothing=options.label_smoothing)


def _builder(genotype: Genotype, options: argparse.Namespace) -> Callable[[int], "nn.Module"]:
    from sota.cnn.network import NetworkImageNet

    return lambda classes: NetworkImageNet(
        genotype, options.init_channels, options.layers, classes, options.auxiliary
    )


def _open_split(
    options: argparse.Namespace, build: Callable[[int], "nn.Module"], split: str
) -> "LargeImages":
    from foresight_ext.large_images import open_imagenet

    check_image_size(build, options.crop_size, options.auxiliary, 224)
    return open_imagenet(options.data, split, options.workers, options.crop_size)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train the architecture asked for on ImageNet; returns the exit code."""
    parser = Parser("sota.cnn.train_imagenet", "Train a DARTS architecture on ImageNet.")
    add_arch_options(parser, *ARCH)
    add_common_options(parser, seed=2, save="eval", dataset=None)
    add_crop_option(parser)
    add_recipe_options(parser, batch_option="--batch_size")
    parser.set_defaults(dataset="imagenet")
    return run_training("sota.cnn.train_imagenet", parser, argv, find_genotype, train_network)


if __name__ == "__main__":
    sys.exit(main())
