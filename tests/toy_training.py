"""A tiny network and tiny images to train; as a program it trains them, in as many processes as it is told.

python -m tests.toy_training FOLDER [--processes N] [--die WHERE] [OPTIONS of a training...]
"""

import os
import random
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foresight_ext.commands.options import add_common_options, compute_of, place_of
from foresight_ext.commands.parser import Parser, console_log, entry_point
from foresight_ext.commands.training import add_training_options, recipe_of, train_settings_of
from foresight_ext.images.augmentation import Augmentation
from foresight_ext.images.datasets import ImageData
from foresight_ext.launched import is_launched
from foresight_ext.runs.journal import Journal
from foresight_ext.training import run as training
from foresight_ext.training.distributed import launch
from foresight_ext.training.spec import TrainedNetwork, TrainSpec
from foresight_ext.training.trainer import Trainer

CLASSES, TRAIN, TEST, SIDE = 3, 47, 20, 8
HELD = TRAIN // 10


class Toy(TrainedNetwork):
    """Two logits heads on one convolution. With `noise` it draws from all three global streams.

    `idle` is a parameter that no output depends on.
    """

    def __init__(self, classes: int, norm: bool = True, noise: bool = True):
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.classifier = nn.Linear(6, classes)
        self.auxiliary_head = nn.Linear(6, classes)
        self.idle = nn.Parameter(torch.ones(3))
        self.noise = noise

    def forward(self, x: Tensor):
        x = F.relu(self.norm(self.convolution(x))).mean((2, 3))
        if not self.training:
            return self.classifier(x)
        if self.noise:
            x = x * (1 + 0.1 * random.random() + 0.1 * np.random.rand())
            x = F.dropout(x, 0.1 + self.drop_path)
        return self.classifier(x), self.auxiliary_head(x)

    def training_only(self):
        return self.auxiliary_head.parameters()


reads: Counter = Counter()  # images read, by split


def open_split(split: str) -> ImageData:
    """Images whose brightness tells their class, mostly."""
    count = TRAIN if split == "train" else TEST
    generator = torch.Generator().manual_seed(count)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    images = torch.randint(0, 150, (count, 3, SIDE, SIDE), generator=generator) + 50 * labels.view(
        -1, 1, 1, 1
    )

    def fetch(indices: Tensor) -> Tensor:
        reads[split] += len(indices)
        return images.to(torch.uint8)[indices]

    return ImageData("toy", CLASSES, labels, fetch, (0.5,) * 3, (0.25,) * 3, Augmentation(SIDE, padding=1))


class ToySource:
    """The images as a data set that is asked for."""

    dataset = "toy"
    root = None

    def settings(self):
        return {}

    def open(self, split):
        return open_split(split)


def parse(*arguments: str, out: Path = Path("/nowhere")):
    """The options of a training."""
    parser = Parser("toy", "toy")
    add_common_options(parser, seed=2, save="toy", dataset=None)
    add_training_options(parser, epochs=4, learning_rate=0.1, batch_size=8)
    return parser.parse_args([f"--out={out}", "--device=cpu", "--threads=1", *arguments])


def train_toy(folder: Path, *arguments: str, norm: bool = True, noise: bool = True, **more):
    """Train into a folder; returns the content of result.json."""
    options = parse(*arguments)
    recipe = {"drop_path_prob": 0.2, "cutout_length": 4, **more}
    recipe = replace(recipe_of(options, options.batch_size), **recipe)
    spec = TrainSpec(lambda genotype, classes: Toy(classes, norm, noise), recipe, {"norm": norm})
    job = training.Job("toy", "toy", spec, ToySource(), folder)
    return training.train(job, train_settings_of(options), place_of(options), compute_of(options))


def die_at(where: str) -> None:
    """Let this process be killed at a moment: function:n is at its n-th call, before it does anything."""
    name, number = where.split(":")
    owner, attribute = {
        "step": (Trainer, "_step"),
        "evaluate": (Trainer, "evaluate"),
        "save": (torch, "save"),
        "append": (Journal, "append"),
        "result": (training, "write_json"),
    }[name]
    calls, original = Counter(), getattr(owner, attribute)

    def deadly(*arguments, **named):
        calls[name] += 1
        if calls[name] == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(owner, attribute, deadly)


@entry_point
def main(argv=None) -> int:
    """Train in processes, without batch norm and noise; each leaves its weights in FOLDER/rank-R.pt."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "--processes" in arguments and not is_launched():
        return launch("tests.toy_training", arguments, int(arguments[arguments.index("--processes") + 1]))
    folder, named = Path(arguments[0]), dict(zip(arguments[1::2], arguments[2::2]))
    rank = os.environ["RANK"]
    if "--die" in named and rank == "0":
        die_at(named.pop("--die"))
    trainers: list[Trainer] = []

    class Kept(Trainer):
        def __init__(self, *arguments, **more):
            super().__init__(*arguments, **more)
            trainers.append(self)

    training.Trainer = Kept
    options = [f"{name}={value}" for name, value in named.items() if name not in ("--processes", "--die")]
    with console_log():
        train_toy(folder, *options, norm=False, noise=False)
    for trainer in trainers:
        torch.save(trainer.network.state_dict(), folder / f"rank-{rank}.pt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
