"""Trains a DARTS architecture (recipe: Liu et al. 2019): python -m sota.cnn.train --arch NAME|FOLDER|JSON.

Several GPUs: --nproc_per_node N, or torchrun ... -m sota.cnn.train on each of several machines.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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


def add_network_options(parser: Parser, channels: int = 36, layers: int = 20) -> None:
    """The options of the network that is trained, and of what DARTS adds to the recipe."""
    parser.option(
        "--init_channels", type=whole_number(2), default=channels, help="channels of the trained network (C)"
    )
    parser.option("--layers", type=whole_number(1), default=layers, help="cells of the trained network")
    add_switch(parser, "auxiliary", help="train with the auxiliary head, for images of about 32 pixels")
    parser.option(
        "--auxiliary_weight",
        type=real_number(lambda value: value >= 0, "from 0 on"),
        default=0.4,
        help="weight of the auxiliary head's loss",
    )
    add_switch(parser, "cutout", help="blank a square in every training image")
    parser.option("--cutout_length", type=whole_number(1), default=16, help="side of that square in pixels")
    parser.option(
        "--drop_path_prob",
        type=real_number(lambda value: 0 <= value < 1, "from 0 to below 1"),
        default=0.2,
        help="probability of dropping a path, reached linearly at the end",
    )


def train_network(
    name: str, genotype: Genotype, options: argparse.Namespace, batch_size: int, path: Path
) -> dict[str, Any]:
    """Train an architecture into the run folder `path`; go on, or only tell, if that was begun before.

    `options` are those of add_common_options, add_training_options and add_network_options. Returns the
    content of result.json: `test_accuracy` {"last", "best"} in percent, `protocol` and more.
    """
    from foresight_ext import datasets
    from foresight_ext.recipe import Recipe
    from foresight_ext.training import Job, train
    from sota.cnn.network import NetworkCIFAR

    recipe = Recipe(
        epochs=options.epochs,
        batch_size=batch_size,
        learning_rate=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        grad_clip=options.grad_clip,
        auxiliary_weight=options.auxiliary_weight,
        drop_path_prob=options.drop_path_prob,
        cutout_length=options.cutout_length if options.cutout else 0,
    )
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
        check_image_size(build, images.augmentation.size, options)
        return images

    return train(Job(name, build, recipe, settings, path), open_split, options)


def check_image_size(build: Callable[[int], Any], size: int, options: argparse.Namespace) -> None:
    """UserError if the network can't be trained on images of that side; computes nothing."""
    import torch

    with torch.device("meta"):
        network = build(2)
        try:
            network(torch.zeros(2, 3, size, size))
        except RuntimeError as error:
            hint = "the auxiliary head needs about 32: use --no_auxiliary" if options.auxiliary else ""
            hint = hint or "use fewer --layers or larger images"
            raise UserError(
                f"--dataset {options.dataset}: the network can't take images of {size} pixels: {hint}"
            ) from error


def run_folder(options: argparse.Namespace, name: str) -> Path:
    """The run's folder; UserError if --resume_expid names none."""
    runs = options.out / "training"
    if options.resume_expid is None:
        return runs / f"{options.save}-{name}-seed{options.seed}-{options.dataset}"
    path = runs / options.resume_expid
    if not (path / CONFIG).is_file():
        there = sorted(entry.name for entry in runs.iterdir() if entry.is_dir()) if runs.is_dir() else []
        known = f"there are {', '.join(there)}" if there else "there are none"
        raise UserError(f"--resume_expid {options.resume_expid}: no such run in {runs}: {known}")
    return path


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train the architecture asked for; returns the exit code."""
    from foresight_ext.distributed import is_first_process, is_launched, launch

    parser = Parser("sota.cnn.train", "Train a DARTS architecture and tell its test accuracy.")
    add_arch_options(parser)
    add_common_options(parser, seed=2, save="eval")
    add_training_options(parser, epochs=600, learning_rate=0.025, batch_size=96)
    add_network_options(parser)
    options = parser.parse_args(argv)
    name, genotype = find_genotype(options.arch, options.id)
    path = run_folder(options, name)
    if options.nproc_per_node > 1 and not is_launched():
        return launch("sota.cnn.train", sys.argv[1:] if argv is None else argv, options.nproc_per_node)
    if not is_first_process():
        train_network(name, genotype, options, options.batch_size, path)
        return 0
    with console_log():
        train_network(name, genotype, options, options.batch_size, path)
    print(f"run: {path}")
    return 0


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
