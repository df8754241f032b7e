"""Trains a DARTS architecture (recipe: Liu et al. 2019): python -m sota.cnn.train --arch NAME|FOLDER|JSON.

Several GPUs: --nproc_per_node N, or torchrun ... -m sota.cnn.train on each of several machines.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foresight_ext.cli import (
    Parser,
    add_common_options,
    add_switch,
    add_training_options,
    console_log,
    entry_point,
    real_number,
    whole_number,
)
from foresight_ext.errors import UserError
from foresight_ext.results import BEST
from foresight_ext.runs import CONFIG
from sota.cnn.genotypes import Genotype, find_genotype, format_genotype

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from torch import nn

    from foresight_ext.recipe import Recipe

BATCH_SIZE = 96
DIGITS_BATCH_SIZE = 16  # digits has 1,437 training images, of which 96 at once would make 15 steps an epoch
BATCH_NOTE = f"; none means {BATCH_SIZE}, with --dataset digits {DIGITS_BATCH_SIZE}"


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
    if batch_size is None:
        batch_size = DIGITS_BATCH_SIZE if options.dataset == "digits" else BATCH_SIZE
    from foresight_ext import datasets
    from foresight_ext.training import Job, train
    from sota.cnn.network import NetworkCIFAR

    names = ("init_channels", "layers", "auxiliary", "dataset", "image_size", "mean", "std")
    settings = {
        "genotype": format_genotype(genotype),
        **{name: getattr(options, name) for name in names},
        "data": str(options.data or datasets.DEFAULT_ROOT),
    }

    def build(classes: int) -> NetworkCIFAR:
        return NetworkCIFAR(genotype, options.init_channels, options.layers, classes, options.auxiliary)

    def open_split(split: str) -> datasets.ImageData:
        images = datasets.load_as_asked(options, split)
        check_image_size(build, images.augmentation.size, options.auxiliary, 32)
        return images

    return train(Job(name, build, recipe_of(options, batch_size), settings, path), open_split, options)


def recipe_of(options: argparse.Namespace, batch_size: int, **more: float) -> "Recipe":
    """The recipe that the options ask for, with what they do not know."""
    from foresight_ext.recipe import Recipe

    same = ("epochs", "learning_rate", "momentum", "weight_decay", "grad_clip")
    return Recipe(
        batch_size=batch_size,
        auxiliary_weight=options.auxiliary_weight,
        drop_path_prob=options.drop_path_prob,
        cutout_length=options.cutout_length if options.cutout else 0,
        **{name: getattr(options, name) for name in same},
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


def run_folder(options: argparse.Namespace, name: str, dataset: str) -> Path:
    """The run's folder; UserError if --resume_expid names none."""
    runs = options.out / "training"
    if options.resume_expid is None:
        return runs / f"{options.save}-{name}-seed{options.seed}-{dataset}"
    path = runs / options.resume_expid
    if not (path / CONFIG).is_file():
        there = sorted(entry.name for entry in runs.iterdir() if entry.is_dir()) if runs.is_dir() else []
        known = f"there are {', '.join(there)}" if there else "there are none"
        raise UserError(f"--resume_expid {options.resume_expid}: no such run in {runs}: {known}")
    return path


def run_training(
    module: str,
    parser: Parser,
    argv: Sequence[str] | None,
    train_network: Callable[..., dict[str, Any]],
    dataset: str | None = None,
) -> int:
    """What the entry points share: parse, start the processes asked for, train; returns the exit code."""
    from foresight_ext.distributed import device_of, is_first_process, is_launched, launch

    options = parser.parse_args(argv)
    name, genotype = find_genotype(options.arch, options.id)
    path = run_folder(options, name, dataset or options.dataset)
    if options.nproc_per_node > 1 and not is_launched():
        device_of(0, options.nproc_per_node, options.device, options.gpu)  # a mistake is told once, here
        return launch(module, sys.argv[1:] if argv is None else argv, options.nproc_per_node)
    if not is_first_process():
        train_network(name, genotype, options, options.batch_size, path)
        return 0
    with console_log():
        train_network(name, genotype, options, options.batch_size, path)
    print(f"run: {path}")
    return 0


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train the architecture asked for; returns the exit code."""
    parser = Parser("sota.cnn.train", "Train a DARTS architecture and tell its test accuracy.")
    add_arch_options(parser)
    add_common_options(parser, seed=2, save="eval")
    add_training_options(parser, epochs=600, learning_rate=0.025, batch_size=None, batch_note=BATCH_NOTE)
    add_network_options(parser)
    return run_training("sota.cnn.train", parser, argv, train_network)


def add_arch_options(parser: Parser) -> None:
    """Which architecture to train, and which run to go on with."""
    parser.add_argument(
        "--arch",
        required=True,
        metavar="NAME|FOLDER|JSON",
        help=f"a name of sota/cnn/genotypes.py, a run folder with its {BEST}, or a JSON file",
    )
    parser.add_argument("--id", help="which network of a pool file to train")
    parser.option(
        "--resume_expid",
        type=str,
        default=None,
        metavar="NAME",
        help="the folder in OUT/training of the run to go on with; none means the one of these options",
    )


if __name__ == "__main__":
    sys.exit(main())
