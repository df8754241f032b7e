"""The command line that trains an architecture, for every space that names them."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from foresight_ext.cli import Parser, console_log
from foresight_ext.errors import UserError
from foresight_ext.launched import is_first_process, is_launched
from foresight_ext.runs import CONFIG

Genotype = TypeVar("Genotype")


def add_arch_options(parser: Parser, metavar: str, help: str) -> None:
    """Which architecture to train, and which run to go on with."""
    parser.add_argument("--arch", required=True, metavar=metavar, help=help)
    parser.add_argument("--id", help="which network of a pool file to train")
    parser.option(
        "--resume_expid",
        type=str,
        default=None,
        metavar="NAME",
        help="the folder in OUT/training of the run to go on with; none means the one of these options",
    )


def run_training(
    module: str,
    parser: Parser,
    argv: Sequence[str] | None,
    find: Callable[[str, str | None], tuple[str, Genotype]],
    train_network: Callable[[str, Genotype, argparse.Namespace, int | None, Path], dict[str, Any]],
) -> int:
    """Parse, start the processes asked for, train; returns the exit code.

    `find` gives the name and genotype meant by --arch and --id; `module` is the entry point's name.
    """
    from foresight_ext.distributed import device_of, launch

    options = parser.parse_args(argv)
    name, genotype = find(options.arch, options.id)
    path = _run_folder(options, name)
    if options.nproc_per_node > 1 and not is_launched():
        device_of(0, options.nproc_per_node, options.device, options.gpu)  # a mistake is told once, here
        return launch(module, sys.argv[1:] if argv is None else argv, options.nproc_per_node)
    with console_log():
        train_network(name, genotype, options, options.batch_size, path)
    if is_first_process():
        print(f"run: {path}")
    return 0


def _run_folder(options: argparse.Namespace, name: str) -> Path:
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
