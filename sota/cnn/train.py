"""Trains a DARTS architecture (recipe: Liu et al. 2019): python -m sota.cnn.train --arch NAME|FOLDER|JSON.

Several GPUs: --nproc_per_node N, or torchrun ... -m sota.cnn.train on each of several machines.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.cnn.train", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import images_of
from foresight_ext.commands.parser import Parser, add_switch, entry_point, real_number, whole_number
from foresight_ext.commands.train import TrainCommand
from foresight_ext.commands.training import add_training_options, recipe_of
from foresight_ext.errors import UserError
from foresight_ext.runs.results import BEST
from sota.cnn.genotypes import ARCHITECTURES, find_genotype
from sota.cnn.notation import Genotype, format_genotype, parse_genotype
from sota.cnn.settings import TrainedSkeleton

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from torch import nn

    from foresight_ext.training.recipe import Recipe
    from foresight_ext.training.spec import TrainSpec

ARCH = (
    "NAME|FOLDER|JSON",
    f"a name of sota/cnn/genotypes.py, Genotype(...), a run folder with its {BEST}, or a JSON file",
)
BATCH_SIZE = 96
TRAINED = TrainedSkeleton()
DIGITS_BATCH_SIZE = 16  # digits has 1,437 training images, of which 96 at once would make 15 steps an epoch


def add_recipe_options(parser: Parser, batch_option: str) -> None:
    """The options of a training, with the defaults of CIFAR-10."""
    add_training_options(
        parser,
        epochs=600,
        learning_rate=0.025,
        batch_size=None,
        batch_option=batch_option,
        none_means=f"{BATCH_SIZE}, with --dataset digits {DIGITS_BATCH_SIZE}",
    )
    add_network_options(parser)


def add_network_options(
    parser: Parser,
    usual: TrainedSkeleton = TRAINED,
    cutout: bool = True,
    drop_path_prob: float = 0.2,
    image_size: int = 32,
) -> None:
    """The options of the network that is trained, and of what DARTS adds to the recipe."""
    parser.option(
        "--init_channels",
        type=whole_number(2),
        default=usual.init_channels,
        help="channels of the trained network (C)",
    )
    parser.option("--layers", type=whole_number(1), default=usual.layers, help="cells of the trained network")
    head = f"train with the auxiliary head, for images of about {image_size} pixels"
    add_switch(parser, "auxiliary", default=usual.auxiliary, help=head)
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


def spec_of(options: argparse.Namespace, batch_size: int | None) -> "TrainSpec":
    """How the options train a network on small images."""
    from sota.cnn.network import NetworkCIFAR

    if batch_size is None:
        batch_size = DIGITS_BATCH_SIZE if options.dataset == "digits" else BATCH_SIZE
    return darts_spec(options, darts_recipe(options, batch_size), NetworkCIFAR, usual=32)


def darts_recipe(options: argparse.Namespace, batch_size: int) -> "Recipe":
    """The recipe that the options of a training and of add_network_options ask for."""
    return replace(
        recipe_of(options, batch_size),
        auxiliary_weight=options.auxiliary_weight,
        drop_path_prob=options.drop_path_prob,
        cutout_length=options.cutout_length if options.cutout else 0,
    )


def darts_spec(
    options: argparse.Namespace, recipe: "Recipe", network: Callable[..., "nn.Module"], usual: int
) -> "TrainSpec":
    """How a network in one of its shapes is trained, which is for images of about `usual` pixels a side."""
    from foresight_ext.training.spec import TrainSpec

    size = TrainedSkeleton(options.init_channels, options.layers, options.auxiliary)

    def build(genotype: Genotype, classes: int) -> "nn.Module":
        return network(genotype, size.init_channels, size.layers, classes, size.auxiliary)

    def check(side: int) -> None:
        # architectures differ in their operations, which fit or not as one
        some = ARCHITECTURES.get(next(iter(ARCHITECTURES)))
        check_image_size(lambda: build(some, 2), side, size.layers, size.auxiliary, usual)

    return TrainSpec(lambda text, classes: build(parse_genotype(text), classes), recipe, asdict(size), check)


def check_image_size(
    build: Callable[[], "nn.Module"], size: int, layers: int, auxiliary: bool, usual: int
) -> None:
    """UserError if the network can't be trained on images of that side in pixels; computes nothing."""
    import torch

    with torch.device("meta"):
        try:
            build()(torch.zeros(2, 3, size, size))
        except RuntimeError as error:
            what = f"the network can't be trained on images of {size} pixels: "
            if size == usual:
                what = "the network can't be trained: "
                fits = f"the auxiliary head needs more cells before it: use more --layers than {layers}, or "
                fits += "--no_auxiliary"
            else:
                fits = f"the auxiliary head is for about {usual} pixels: use --no_auxiliary"
            raise UserError(what + (fits if auxiliary else "use fewer --layers or larger images")) from error


def find(where: str, network_id: str | None) -> tuple[str, str]:
    """Name and genotype, in its JSON form, of what is meant by --arch and --id."""
    name, genotype = find_genotype(where, network_id)
    return name, format_genotype(genotype)


COMMAND = TrainCommand(
    "sota.cnn.train",
    "Train a DARTS architecture and tell its test accuracy.",
    ARCH,
    find,
    add_recipe_options,
    spec_of,
    images_of,
    seed=2,
)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train the architecture asked for; returns the exit code."""
    return COMMAND.run(argv)


if __name__ == "__main__":
    sys.exit(main())
