"""Trains a DARTS architecture (recipe: Liu et al. 2019): python -m sota.cnn.train --arch NAME|FOLDER|JSON.

Several GPUs: --nproc_per_node N, or torchrun ... -m sota.cnn.train on each of several machines.
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
    add_switch,
    add_training_options,
    entry_point,
    real_number,
    whole_number,
)
from foresight_ext.errors import UserError
from foresight_ext.results import BEST
from foresight_ext.training_command import add_arch_options, run_training
from sota.cnn.genotypes import ARCHITECTURES, Genotype, find_genotype, format_genotype, parse_genotype

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from torch import nn

    from foresight_ext.datasets import ImageData
    from foresight_ext.recipe import Recipe

ARCH = (
    "NAME|FOLDER|JSON",
    f"a name of sota/cnn/genotypes.py, a run folder with its {BEST}, or a JSON file",
)
BATCH_SIZE = 96
DIGITS_BATCH_SIZE = 16  # digits has 1,437 training images, of which 96 at once would make 15 steps an epoch


def add_recipe_options(parser: Parser, batch_option: str) -> None:
    """The options of a training, with the defaults of CIFAR-10."""
    add_training_options(
        parser,
        epochs=600,
        learning_rate=0.025,
        batch_size=None,
        batch_option=batch_option,
        batch_note=f"; none means {BATCH_SIZE}, with --dataset digits {DIGITS_BATCH_SIZE}",
    )
    add_network_options(parser)


def add_network_options(
    parser: Parser,
    channels: int = 36,
    layers: int = 20,
    cutout: bool = True,
    drop_path_prob: float = 0.2,
    image_size: int = 32,
) -> None:
    """The options of the network that is trained, and of what DARTS adds to the recipe."""
    parser.option(
        "--init_channels", type=whole_number(2), default=channels, help="channels of the trained network (C)"
    )
    parser.option("--layers", type=whole_number(1), default=layers, help="cells of the trained network")
    head = f"train with the auxiliary head, for images of about {image_size} pixels"
    add_switch(parser, "auxiliary", default=True, help=head)
    parser.option(
        "--auxiliary_weight",
        type=real_number(lambda value: value >= 0, "from 0 on"),
        default=0.4,
        help="weight of the auxiliary head's loss",
    )
    add_switch(parser, "cutout", default=cutout, help="blank a square in every training image")
    parser.option("--cutout_length", type=whole_number(1), default=16, help="side of that square in pixels")
    parser.option(
        "--drop_path_prob",
        type=real_number(lambda value: 0 <= value < 1, "from 0 to below 1"),
        default=drop_path_prob,
        help="probability of dropping a path, reached linearly at the end",
    )


def train_network(
    name: str, genotype: Genotype, options: argparse.Namespace, batch_size: int | None, path: Path
) -> dict[str, Any]:
    """Train an architecture into the run folder `path`; go on, or only tell, if that was begun before.

    `options` are those of add_common_options, add_training_options and add_network_options. Returns the
    content of result.json: `test_accuracy` {"last", "best"} in percent, `protocol` and more.
    """
    from foresight_ext.datasets import DEFAULT_ROOT
    from foresight_ext.training import Job, train

    names = ("init_channels", "layers", "auxiliary", "dataset", "image_size", "mean", "std")
    settings = {
        "genotype": format_genotype(genotype),
        **{name: getattr(options, name) for name in names},
        "data": str(options.data or DEFAULT_ROOT),
    }
    build = _builder(genotype, options)
    job = Job(name, build, recipe_of(options, _batch_size(options, batch_size)), settings, path)
    return train(job, partial(_open_split, options, build), options)


def train_winner(name: str, genotype: str, options: argparse.Namespace, path: Path) -> dict[str, Any]:
    """As train_network, for a genotype's JSON form and --train_batch_size."""
    return train_network(name, parse_genotype(genotype, name), options, options.train_batch_size, path)


def check_training(options: argparse.Namespace) -> None:
    """UserError for what train_winner would find wrong before the first epoch, whatever the genotype."""
    from foresight_ext.training import check

    build = _builder(ARCHITECTURES.get(next(iter(ARCHITECTURES))), options)
    recipe = recipe_of(options, _batch_size(options, options.train_batch_size))
    check(recipe, partial(_open_split, options, build), options)


def _batch_size(options: argparse.Namespace, batch_size: int | None) -> int:
    if batch_size is not None:
        return batch_size
    return DIGITS_BATCH_SIZE if options.dataset == "digits" else BATCH_SIZE


def _builder(genotype: Genotype, options: argparse.Namespace) -> Callable[[int], "nn.Module"]:
    from sota.cnn.network import NetworkCIFAR

    return lambda classes: NetworkCIFAR(
        genotype, options.init_channels, options.layers, classes, options.auxiliary
    )


def _open_split(options: argparse.Namespace, build: Callable[[int], "nn.Module"], split: str) -> "ImageData":
    from foresight_ext.datasets import load_as_asked

    images = load_as_asked(options, split)
    check_image_size(build, images.augmentation.size, options.auxiliary, 32)
    return images


def recipe_of(options: argparse.Namespace, batch_size: int, **more: float) -> "Recipe":
    """The recipe that the options ask for, with what they do not know."""
    from foresight_ext.recipe import Recipe

    return Recipe.of(
        options,
        batch_size,
        auxiliary_weight=options.auxiliary_weight,
        drop_path_prob=options.drop_path_prob,
        cutout_length=options.cutout_length if options.cutout else 0,
        **more,
    )


def check_image_size(build: Callable[[int], "nn.Module"], size: int, auxiliary: bool, usual: int) -> None:
    """UserError if the network can't be trained on images of that side in pixels; computes nothing."""
    import torch

    with torch.device("meta"):
        try:
            build(2)(torch.zeros(2, 3, size, size))
        except RuntimeError as error:
            fits = f"the auxiliary head is for about {usual} pixels: use --no_auxiliary"
            raise UserError(
                f"the network can't be trained on images of {size} pixels: "
                + (fits if auxiliary else "use fewer --layers or larger images")
            ) from error


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train the architecture asked for; returns the exit code."""
    parser = Parser("sota.cnn.train", "Train a DARTS architecture and tell its test accuracy.")
    add_arch_options(parser, *ARCH)
    add_common_options(parser, seed=2, save="eval")
    add_recipe_options(parser, batch_option="--batch_size")
    return run_training("sota.cnn.train", parser, argv, find_genotype, train_network)


if __name__ == "__main__":
    sys.exit(main())
