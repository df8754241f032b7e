"""A whole proposal: search, validation, and training of the winner with the same seed, each also alone."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from foresight_ext.cli import Parser, add_pipeline_options, add_switch, console_log
from foresight_ext.errors import UserError
from foresight_ext.launched import is_first_process, is_launched
from foresight_ext.results import BEST, RESULT, find_network

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.pipeline import Pipeline

STAGES = ("all", "search", "validation", "training")


class Training(Protocol):
    """How a space trains its winner: a module with these functions, which know --train_batch_size."""

    def check_training(self, options: argparse.Namespace) -> None:
        """UserError for what a training would find wrong before its first epoch."""

    def train_winner(
        self, name: str, genotype: str, options: argparse.Namespace, path: Path
    ) -> dict[str, Any]:
        """Train the network of a genotype into a run folder; the content of result.json."""


def add_proposal_options(
    parser: Parser, *, batch_size: int, seed: int, skip_training: bool, dataset: str | None = "cifar10"
) -> None:
    """The options of search and validation, and whether training follows; `dataset` None: of a fixed one."""
    add_pipeline_options(parser, batch_size, seed, dataset, STAGES)
    add_switch(parser, "skip_training", default=skip_training, help="stop after the validation")


def propose(
    module: str,
    parser: Parser,
    argv: Sequence[str] | None,
    make_pipeline: Callable[[argparse.Namespace], "Pipeline"],
    training: Training,
) -> int:
    """Run the stages asked for; `module` is the entry point's name. Returns the exit code."""
    options = parser.parse_args(argv)
    if options.stage in ("search", "validation") or (options.stage == "all" and options.skip_training):
        with console_log():
            return make_pipeline(options).run()

    from foresight_ext.checkpoints import Checkpoints
    from foresight_ext.distributed import launch

    alone = options.stage == "training"
    if is_launched() and not alone:
        raise UserError("several processes share a training only: start them with --stage training")
    with console_log():
        pipeline = make_pipeline(options)
        run, path = pipeline.path, pipeline.path / "training"
        if not is_launched() and (options.force or not (path / RESULT).is_file()):
            training.check_training(options)  # before the search, which takes long
        if options.resume_epoch:
            Checkpoints(path, options.ckpt_interval).find(options.resume_epoch)
        if alone:
            if not (run / BEST).is_file():
                raise UserError(f"--stage training: {run} has no {BEST}: run --stage validation first")
            pipeline.compare_settings()
        else:
            pipeline.run()
            options.force = False  # the run folder was emptied, with what was trained in it
        if options.nproc_per_node > 1 and not is_launched():
            arguments = list(sys.argv[1:] if argv is None else argv)
            if not alone:
                arguments = [*(one for one in arguments if one != "--force"), "--stage=training"]
            return launch(module, arguments, options.nproc_per_node)
        _, genotype = find_network(str(run), None, (pipeline.space.name,), "")
        training.train_winner(f"{pipeline.space.name}-{run.name}", genotype, options, path)
        if is_first_process():
            print(f"run: {path}")
    return 0
