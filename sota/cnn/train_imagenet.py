"""Trains a DARTS architecture on ImageNet: python -m sota.cnn.train_imagenet --arch NAME --data DIR.

DIR has train/ and val/ with class folders, or imagenet-train-256.h5 and imagenet-val-256.h5. Several GPUs:
--nproc_per_node N, or torchrun ... -m sota.cnn.train_imagenet on each of several machines.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foresight_ext.cli import (
    Parser,
    add_common_options,
    add_training_options,
    entry_point,
    real_number,
    whole_number,
)
from sota.cnn.genotypes import Genotype, format_genotype
from sota.cnn.train import add_arch_options, add_network_options, check_image_size, recipe_of, run_training


def add_imagenet_options(parser: Parser) -> None:
    """What ImageNet's recipe has besides the options of every training."""
    above_0 = real_number(lambda value: value > 0, "above 0")
    parser.option("--decay", type=above_0, default=0.97, help="factor of the learning rate after every epoch")
    parser.option(
        "--label_smoothing",
        type=real_number(lambda value: 0 <= value < 1, "from 0 to below 1"),
        default=0.1,
        help="label smoothing of the training losses",
    )
    parser.option("--crop_size", type=whole_number(32), default=224, help="side of the crops in pixels")


def train_network(
    name: str, genotype: Genotype, options: argparse.Namespace, batch_size: int, path: Path
) -> dict[str, Any]:
    """As sota.cnn.train.train_network, on ImageNet."""
    from foresight_ext.datasets import DEFAULT_ROOT
    from foresight_ext.large_images import LargeImages, open_imagenet
    from foresight_ext.training import Job, train
    from sota.cnn.network import NetworkImageNet

    recipe = recipe_of(options, batch_size, decay=options.decay, label_smoothing=options.label_smoothing)
    names = ("init_channels", "layers", "auxiliary", "crop_size")
    settings = {
        "genotype": format_genotype(genotype),
        **{name: getattr(options, name) for name in names},
        "dataset": "imagenet",
        "data": str(options.data or DEFAULT_ROOT / "imagenet"),
    }

    def build(classes: int) -> NetworkImageNet:
        return NetworkImageNet(genotype, options.init_channels, options.layers, classes, options.auxiliary)

    def open_split(split: str) -> LargeImages:
        check_image_size(build, options.crop_size, options.auxiliary, 224)
        return open_imagenet(options.data, split, options.workers, options.crop_size)

    return train(Job(name, build, recipe, settings, path), open_split, options)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Train the architecture asked for on ImageNet; returns the exit code."""
    parser = Parser("sota.cnn.train_imagenet", "Train a DARTS architecture on ImageNet.")
    add_arch_options(parser)
    add_common_options(parser, seed=2, save="eval", dataset=None)
    add_training_options(parser, epochs=250, learning_rate=0.1, batch_size=128, weight_decay=3e-5)
    add_network_options(parser, channels=48, layers=14, cutout=False, drop_path_prob=0.0, image_size=224)
    add_imagenet_options(parser)
    return run_training("sota.cnn.train_imagenet", parser, argv, train_network, "imagenet")


if __name__ == "__main__":
    sys.exit(main())
