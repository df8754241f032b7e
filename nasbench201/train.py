"""Trains a NAS-Bench-201 network (recipe: Dong & Yang 2020): python -m nasbench201.train --arch ARCH."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m nasbench201.train", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import images_of
from foresight_ext.commands.parser import Parser, entry_point, whole_number
from foresight_ext.commands.train import TrainCommand
from foresight_ext.commands.training import add_training_options, recipe_of
from foresight_ext.runs.results import BEST
from nasbench201.genotype import parse_genotype
from nasbench201.settings import SkeletonSettings
from nasbench201.visualize import find_genotype

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.training.spec import TrainSpec


def add_skeleton_options(parser: Parser) -> None:
    """The size of NAS-Bench-201's networks."""
    usual = SkeletonSettings()
    parser.option(
        "--init_channels",
        type=whole_number(1),
        default=usual.init_channels,
        help="channels of the first cells (C)",
    )
    parser.option(
        "--cells", type=whole_number(1), default=usual.cells, help="cells in each of the three stages (N)"
    )


def skeleton_of(options: argparse.Namespace) -> SkeletonSettings:
    """What add_skeleton_options asked."""
    return SkeletonSettings(options.init_channels, options.cells)


def add_recipe_options(parser: Parser, batch_option: str) -> None:
    """The options of a training, with the defaults of the benchmark's authors."""
    add_training_options(
        parser,
        epochs=200,
        learning_rate=0.1,
        batch_size=256,
        batch_option=batch_option,
        weight_decay=5e-4,
        grad_clip=0.0,
    )


def spec_of(options: argparse.Namespace, batch_size: int | None) -> "TrainSpec":
    """How the options train a network."""
    from foresight_ext.training.spec import TrainSpec
    from nasbench201.network import NASBench201Network

    assert batch_size is not None  # the option has a default
    size = skeleton_of(options)
    return TrainSpec(
        lambda genotype, classes: NASBench201Network(genotype, size.init_channels, size.cells, classes),
        replace(recipe_of(options, batch_size), nesterov=options.momentum > 0),
        asdict(size),
    )


def _add_options(parser: Parser, batch_option: str) -> None:
    add_skeleton_options(parser)
    add_recipe_options(parser, batch_option)


def _find(where: str, network_id: str | None) -> tuple[str, str]:
    """A name for the run folder, and the architecture string."""
    genotype = find_genotype(where, network_id)
    parse_genotype(genotype)  # UserError before a folder has its name
    return genotype.replace("|", "").replace("~", "").replace("+", "-"), genotype


COMMAND = TrainCommand(
    "nasbench201.train",
    "Train a NAS-Bench-201 network and tell its test accuracy.",
    ("ARCH|FOLDER|JSON", f"an architecture string, a run folder with its {BEST}, or a JSON file"),
    _find,
    _add_options,
    spec_of,
    images_of,
)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train the architecture asked for; returns the exit code."""
    return COMMAND.run(argv)


if __name__ == "__main__":
    sys.exit(main())
