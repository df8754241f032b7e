"""The options of a training, whatever the network, and what they become."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from foresight_ext.commands.parser import Parser, real_number, whole_number
from foresight_ext.training.settings import PROTOCOLS, TrainSettings

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.training.recipe import Recipe
    from foresight_ext.training.spec import TrainSpec


def add_training_options(
    parser: Parser,
    *,
    epochs: int | None,
    learning_rate: float | None,
    batch_size: int | None,
    batch_option: str = "--batch_size",
    momentum: float | None = 0.9,
    weight_decay: float | None = 3e-4,
    grad_clip: float | None = 5.0,
    none_means: str = "",
) -> None:
    """The options of a training, whatever the network; `batch_option` is the batch size's name.

    `none_means` says what a default of None means.
    """
    above_0 = real_number(lambda value: value > 0, "above 0")
    from_0 = real_number(lambda value: value >= 0, "from 0 on")

    def number(name: str, kind: Callable[[str], float], default: float | None, help: str) -> None:
        none = f"; none means {none_means}" if default is None else ""
        parser.option(name, type=kind, default=default, help=help + none)

    together = "images in a minibatch of the training, all processes together"
    number("--epochs", whole_number(1), epochs, "epochs to train")
    number(batch_option, whole_number(2), batch_size, together)
    number("--learning_rate", above_0, learning_rate, "learning rate at the start")
    number("--momentum", from_0, momentum, "momentum of SGD")
    number("--weight_decay", from_0, weight_decay, "weight decay of SGD")
    number("--grad_clip", from_0, grad_clip, "norm that gradients are clipped to; 0 clips nothing")
    parser.option(
        "--protocol",
        choices=PROTOCOLS,
        default=PROTOCOLS[0],
        help="holdout (choose the best epoch by a tenth of the training images, read the test images once) "
        "or official (train on all, read test accuracy every epoch)",
    )
    parser.option(
        "--ckpt_interval", type=whole_number(1), default=50, help="every how many epochs a checkpoint is kept"
    )
    parser.option(
        "--resume_epoch",
        type=whole_number(0),
        default=0,
        help="go back to the kept checkpoint of this epoch; 0 goes on from the last checkpoint, if any",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (float16), on a GPU only")
    parser.option(
        "--nproc_per_node",
        type=whole_number(1),
        default=1,
        help="processes to train in on this machine, one a GPU; torchrun starts them on several",
    )
    parser.add_argument("--compile", action="store_true", help="compile the network with torch.compile")
    parser.add_argument(
        "--fast", action="store_true", help="one minibatch per epoch, to try a command out: no real accuracy"
    )


def add_imagenet_recipe_options(parser: Parser, batch_option: str) -> None:
    """The options of a training with the recipe of ImageNet, and with what it has besides."""
    add_training_options(
        parser, epochs=250, learning_rate=0.1, batch_size=128, batch_option=batch_option, weight_decay=3e-5
    )
    above_0 = real_number(lambda value: value > 0, "above 0")
    parser.option("--decay", type=above_0, default=0.97, help="factor of the learning rate after every epoch")
    parser.option(
        "--label_smoothing",
        type=real_number(lambda value: 0 <= value < 1, "from 0 to below 1"),
        default=0.1,
        help="label smoothing of the training losses",
    )


def train_settings_of(options: argparse.Namespace) -> TrainSettings:
    """What add_training_options asked, the recipe apart."""
    return TrainSettings(
        options.seed,
        options.protocol,
        options.amp,
        options.compile,
        options.fast,
        options.nproc_per_node,
        options.ckpt_interval,
        options.resume_epoch,
        ahead=options.workers > 0,
    )


def recipe_of(options: argparse.Namespace, batch_size: int) -> "Recipe":
    """The recipe that add_training_options asked for."""
    from foresight_ext.training.recipe import Recipe

    return Recipe(
        options.epochs,
        batch_size,
        options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        grad_clip=options.grad_clip,
    )


def spec_with(spec: "TrainSpec", options: argparse.Namespace) -> "TrainSpec":
    """How a space's networks are trained, but for those options of the recipe that were given."""
    names = ("epochs", "learning_rate", "momentum", "weight_decay", "grad_clip")
    asked = {name: getattr(options, name) for name in names} | {"batch_size": options.train_batch_size}
    recipe = replace(spec.recipe, **{name: value for name, value in asked.items() if value is not None})
    # SGD has no Nesterov momentum without momentum
    return replace(spec, recipe=replace(recipe, nesterov=recipe.nesterov and recipe.momentum > 0))
