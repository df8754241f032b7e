"""Trains a NAS-Bench-201 network (recipe: Dong & Yang 2020): python -m nasbench201.train --arch ARCH."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foresight_ext.cli import Parser, add_common_options, add_training_options, entry_point, whole_number
from foresight_ext.results import BEST
from foresight_ext.training_command import add_arch_options, run_training
from nasbench201.genotype import parse_genotype
from nasbench201.visualize import find_genotype

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.datasets import ImageData
    from foresight_ext.recipe import Recipe


def add_skeleton_options(parser: Parser) -> None:
    """The size of NAS-Bench-201's networks."""
    parser.option("--init_channels", type=whole_number(1), default=16, help="channels of the first cells (C)")
    parser.option("--cells", type=whole_number(1), default=5, help="cells in each of the three stages (N)")


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


def train_network(
    name: str, genotype: str, options: argparse.Namespace, batch_size: int, path: Path
) -> dict[str, Any]:
    """Train an architecture string into the run folder `path`; the content of result.json."""
    from foresight_ext.datasets import DEFAULT_ROOT, load_as_asked
    from foresight_ext.training import Job, train
    from nasbench201.network import NASBench201Network

    names = ("init_channels", "cells", "dataset", "image_size", "mean", "std")
    settings = {
        "genotype": genotype,
        **{name: getattr(options, name) for name in names},
        "data": str(options.data or DEFAULT_ROOT),
    }

    def build(classes: int) -> NASBench201Network:
        return NASBench201Network(genotype, options.init_channels, options.cells, classes)

    job = Job(name, build, _recipe(options, batch_size), settings, path)
    return train(job, lambda split: load_as_asked(options, split), options)


def train_winner(name: str, genotype: str, options: argparse.Namespace, path: Path) -> dict[str, Any]:
    """As train_network, with --train_batch_size."""
    return train_network(name, genotype, options, options.train_batch_size, path)


def check_training(options: argparse.Namespace) -> None:
    """UserError for what train_winner would find wrong before the first epoch."""
    from foresight_ext.datasets import load_as_asked
    from foresight_ext.training import check

    def open_split(split: str) -> "ImageData":
        return load_as_asked(options, split)

    check(_recipe(options, options.train_batch_size), open_split, options)


def _recipe(options: argparse.Namespace, batch_size: int) -> "Recipe":
    from foresight_ext.recipe import Recipe

    return Recipe.of(options, batch_size, nesterov=options.momentum > 0)


def _find(where: str, network_id: str | None) -> tuple[str, str]:
    """A name for the run folder, and the architecture string."""
    genotype = find_genotype(where, network_id)
    parse_genotype(genotype)  # UserError before a folder has its name
    return genotype.replace("|", "").replace("~", "").replace("+", "-"), genotype


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train the architecture asked for; returns the exit code."""
    parser = Parser("nasbench201.train", "Train a NAS-Bench-201 network and tell its test accuracy.")
    allowed = f"an architecture string, a run folder with its {BEST}, or a JSON file"
    add_arch_options(parser, "ARCH|FOLDER|JSON", allowed)
    add_common_options(parser, seed=0, save="eval")
    add_skeleton_options(parser)
    add_recipe_options(parser, batch_option="--batch_size")
    return run_training("nasbench201.train", parser, argv, _find, train_network)


if __name__ == "__main__":
    sys.exit(main())
