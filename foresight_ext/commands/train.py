"""The command line that trains an architecture, for every space that names them."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foresight_ext.commands.options import add_common_options, compute_of, place_of
from foresight_ext.commands.parser import Parser, console_log
from foresight_ext.commands.training import train_settings_of
from foresight_ext.errors import UserError
from foresight_ext.launched import is_first_process, is_launched
from foresight_ext.report.page import renew_report
from foresight_ext.runs.config import CONFIG

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.images.source import ImageSource
    from foresight_ext.training.spec import TrainSpec


@dataclass(frozen=True)
class TrainCommand:
    """What differs between spaces in `python -m MODULE --arch ARCH`.

    `arch` is the metavar and the help of --arch; `find` gives the name and the genotype meant by it and --id.
    `add_options` adds the options of recipe and network, the batch size's name given; `spec_of` and
    `images_of` make of the options how, and on which images, to train (`spec_of` is told the batch size).
    `dataset` None: of a fixed one.
    """

    module: str
    description: str
    arch: tuple[str, str]
    find: Callable[[str, str | None], tuple[str, str]]
    add_options: Callable[[Parser, str], None]
    spec_of: Callable[[argparse.Namespace, int | None], "TrainSpec"]
    images_of: Callable[[argparse.Namespace], "ImageSource"]
    seed: int = 0
    dataset: str | None = "cifar10"

    def run(self, argv: Sequence[str] | None) -> int:
        """Parse, start the processes asked for, train; returns the exit code."""
        options = self._parser().parse_args(argv)
        name, genotype = self.find(options.arch, options.id)
        from foresight_ext.training.distributed import device_of, launch
        from foresight_ext.training.run import Job, train

        images, settings, compute = self.images_of(options), train_settings_of(options), compute_of(options)
        path = _run_folder(options, f"{options.save}-{name}-seed{settings.seed}-{images.dataset}")
        if settings.processes > 1 and not is_launched():
            # a mistake is told once, here
            device_of(0, settings.processes, compute.device, compute.gpu)
            return launch(self.module, sys.argv[1:] if argv is None else argv, settings.processes)
        job = Job(name, genotype, self.spec_of(options, options.batch_size), images, path)
        with console_log():
            train(job, settings, place_of(options), compute)
        if is_first_process():
            print(renew_report(path))
            print(f"run: {path}")
        return 0

    def _parser(self) -> Parser:
        parser = Parser(self.module, self.description)
        parser.add_argument("--arch", required=True, metavar=self.arch[0], help=self.arch[1])
        parser.add_argument("--id", help="which network of a pool file to train")
        parser.option(
            "--resume_expid",
            type=str,
            default=None,
            metavar="NAME",
            help="the folder in OUT/training of the run to go on with; none means the one of these options",
        )
        add_common_options(parser, seed=self.seed, save="eval", dataset=self.dataset)
        self.add_options(parser, "--batch_size")
        return parser


def _run_folder(options: argparse.Namespace, name: str) -> Path:
    """The run's folder, of that name unless --resume_expid names one; UserError if it names none."""
    runs: Path = options.out / "training"
    if options.resume_expid is None:
        return runs / name
    path = runs / options.resume_expid
    if not (path / CONFIG).is_file():
        there = sorted(entry.name for entry in runs.iterdir() if entry.is_dir()) if runs.is_dir() else []
        known = f"there are {', '.join(there)}" if there else "there are none"
        raise UserError(f"--resume_expid {options.resume_expid}: no such run in {runs}: {known}")
    return path
