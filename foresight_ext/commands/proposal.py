"""A whole proposal: search, validation, and training of the winner with the same seed, each also alone."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from foresight_ext.commands.options import add_search_options, compute_of, place_of, workers_of
from foresight_ext.commands.parser import Parser, add_switch, console_log
from foresight_ext.commands.training import train_settings_of
from foresight_ext.errors import UserError
from foresight_ext.launched import is_first_process, is_launched
from foresight_ext.report.page import renew_report
from foresight_ext.runs.results import BEST, RESULT, TRAINING, find_network

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.run import SearchRun
    from foresight_ext.training.spec import TrainSpec

STAGES = ("all", "search", "validation", "training")


def add_proposal_options(
    parser: Parser, *, batch_size: int, seed: int, skip_training: bool, dataset: str | None = "cifar10"
) -> None:
    """The options of search and validation, and whether training follows; `dataset` None: of a fixed one."""
    add_search_options(parser, batch_size, seed, dataset, STAGES)
    parser.add_argument(
        "--max_params",
        action="store_true",
        help="a baseline, in place of search and validation: the architecture of the most parameters, within "
        "--at_most",
    )
    add_switch(parser, "skip_training", default=skip_training, help="stop after the validation")


def propose(
    module: str,
    parser: Parser,
    argv: Sequence[str] | None,
    make_run: Callable[[argparse.Namespace], "SearchRun"],
    spec_of: Callable[["TrainSpec", argparse.Namespace], "TrainSpec"] = lambda spec, options: spec,
) -> int:
    """Run the stages asked for; `module` is the entry point's name. Returns the exit code.

    `make_run` makes a run whose space knows how its networks are trained; `spec_of` is told that, and gives
    how the options train them.
    """
    options = parser.parse_intermixed_args(argv)  # what is no option may stand before or after them
    if options.max_params:
        make_run = _largest(make_run)
    with console_log():
        if options.stage in ("search", "validation") or (options.stage == "all" and options.skip_training):
            run = make_run(options)
            run.workers = workers_of(options)
            run.run()
            print(renew_report(run.path))
            print(f"run: {run.path}")
            return 0
        if is_launched() and options.stage != "training":
            raise UserError("several processes share a training only: start them with --stage training")
        run = make_run(options)
        run.workers = workers_of(options)
        if run.space.train_spec is None or not run.space.validates:
            raise UserError(
                f"the space {run.space.name} does not say how a winner is trained: use --skip_training"
            )
        spec = spec_of(run.space.train_spec, options)
        return _with_training(module, options, list(sys.argv[1:] if argv is None else argv), run, spec)


def _largest(
    make_run: Callable[[argparse.Namespace], "SearchRun"],
) -> Callable[[argparse.Namespace], "SearchRun"]:
    """Makes of a search the run of the largest architecture."""

    def make(options: argparse.Namespace) -> "SearchRun":
        from foresight_ext.search.largest import LargestRun

        if options.stage in ("search", "validation") or options.pool is not None:
            other = "--pool" if options.pool is not None else f"--stage {options.stage}"
            raise UserError(f"--max_params searches and validates nothing: leave it out, or {other}")
        run = make_run(options)
        return LargestRun(run.space, run.images, run.settings, run.place, run.compute, run.stage, run.lookup)

    return make


def _with_training(
    module: str, options: argparse.Namespace, arguments: list[str], run: "SearchRun", spec: "TrainSpec"
) -> int:
    from foresight_ext.training.checkpoints import Checkpoints
    from foresight_ext.training.distributed import launch
    from foresight_ext.training.run import Job, check, train

    path, alone = run.path / TRAINING, options.stage == "training"
    place, settings = place_of(options), train_settings_of(options)
    compute = replace(compute_of(options), threads=options.threads)  # --processes share no training
    if not is_launched() and (place.force or not (path / RESULT).is_file()):
        check(spec, run.images, settings, place, compute)  # before the search, which takes long
    if settings.resume_epoch:
        Checkpoints(path, settings.ckpt_interval).find(settings.resume_epoch)
    genotype = None
    if alone:
        if not (run.path / BEST).is_file():
            raise UserError(f"--stage training: {run.path} has no {BEST}: run --stage validation first")
        run.compare()
    else:
        genotype = run.run()
        print(f"run: {run.path}", flush=True)  # before what other processes print
        place = replace(place, force=False)  # the run folder was emptied, with what was trained in it
    if settings.processes > 1 and not is_launched():
        if not alone:
            arguments = [*(one for one in arguments if one != "--force"), "--stage=training"]
        return launch(module, arguments, settings.processes)
    if genotype is None:
        _, genotype = find_network(str(run.path), None, (run.space.name,), "")
    # --force alone would start with the search again
    remedy = "use --stage training --force to overwrite it"
    name = f"{run.space.name}-{run.path.name}"
    train(Job(name, genotype, spec, run.images, path), settings, place, compute, remedy)
    if is_first_process():
        print(renew_report(run.path))
        print(f"run: {path}")
    return 0
