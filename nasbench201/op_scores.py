"""An atlas of NAS-Bench-201's operation scores: python -m nasbench201.op_scores --help.

A run folder grows: more --metrics or --seeds compute what is missing.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m nasbench201.op_scores", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import (
    add_common_options,
    add_metrics_option,
    add_workers_options,
    compute_of,
    images_of,
    place_of,
    workers_of,
)
from foresight_ext.commands.parser import Parser, console_log, entry_point, whole_number
from foresight_ext.commands.several import add_seeds_option
from foresight_ext.errors import UserError
from foresight_ext.report.page import renew_report
from foresight_ext.runs.config import data_moved
from nasbench201.benchmark import DATA_FOLDER, Benchmark, add_benchmark_option, find_benchmark
from nasbench201.genotype import EDGES
from nasbench201.op_accuracies import MEANING, architecture, operation_accuracies, standing
from nasbench201.train import add_skeleton_options, skeleton_of

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.runs.folder import RunFolder
    from foresight_ext.search.atlas import Atlas
    from foresight_ext.search.atlas_report import Reference

# the cheapest: some minutes a seed on two CPU cores, all of them together
CHEAP = ("jacob", "nwot", "synflow", "l2_norm", "params", "flops", "meco", "meco_opt")
_NAMED = ("scores", "seeds")  # columns of all data sets

_log = logging.getLogger(__name__)


def _run(options: argparse.Namespace) -> None:
    from foresight_ext.devices import threads_set
    from foresight_ext.images.source import OpenedOnce
    from foresight_ext.measures import PROXIES
    from foresight_ext.search.atlas import Atlas
    from foresight_ext.search.atlas_scoring import StateWork, compute
    from nasbench201.space import NASBench201Space
    from nasbench201.supernet import NASBench201Supernet

    proxies = [PROXIES.get(name) for name in options.metrics]
    for part in (part for proxy in proxies for part in proxy.parts):
        if options.batch_size < part.least_images:
            least = f"{part.name} needs {part.least_images} images or more"
            raise UserError(f"--batch_size {options.batch_size}: {least}")
    place, images, workers = place_of(options), OpenedOnce(images_of(options)), workers_of(options)
    where, _, why = workers.choose(compute_of(options))
    reference = _reference(options)
    size = asdict(skeleton_of(options))
    space = NASBench201Space(**size)
    settings: dict[str, Any] = {"batch_size": options.batch_size, **size, **images.settings()}
    path = place.out / "nas-bench-201-op-scores" / f"{place.save}-{images.dataset}"
    if place.force or not path.exists():
        workers.check()
        images.open("train")  # what is wrong with it is told before a folder is made or emptied
    with threads_set(workers.threads), place.open(path, settings, why) as folder:
        atlas = Atlas(folder.journal("op_scores"), NASBench201Supernet.choices)
        asked = proxies, options.seeds, options.decisions
        missing = atlas.missing(*asked)
        if missing:
            folder.must_write()
        if missing or data_moved(path, images.root):
            folder.same_data(images.root, train=images.open("train").described())
        if missing:
            _log.info("scoring operations on %s, in %s", why, workers)
            most = space.search_images(len(images.open("train")))
            if options.batch_size > most:
                told = "minibatches have %d images, half of the training images, not the %d asked for"
                _log.info(told, most, options.batch_size)
            work = StateWork(space, images, options.batch_size, where)
            compute(atlas, work, *asked, workers, path)
        else:
            _log.info("scored before, nothing to compute: --force would start afresh")
        _report(folder, atlas, reference)
    print(renew_report(path))
    print(f"run: {path}")


def _reference(options: argparse.Namespace) -> "Reference":
    """What the benchmark knows of operations and architectures; nothing where there is none."""
    from foresight_ext.search.atlas_report import Reference

    path = find_benchmark(options.benchmark)
    if path is None:
        return Reference(architecture)
    benchmark = Benchmark.open(path)
    return Reference(architecture, operation_accuracies(benchmark), partial(standing, benchmark), MEANING)


def _report(folder: "RunFolder", atlas: "Atlas", reference: "Reference") -> None:
    """Tell and write what is known of all proxies and seeds that were ever scored here."""
    from foresight_ext.measures import PROXIES
    from foresight_ext.search.atlas_files import REPORT, once_rows, write_report
    from foresight_ext.search.atlas_report import contents, methods

    found = methods(atlas, [PROXIES.get(name) for name in PROXIES])
    if not found:
        _log.info("no proxy has a usable score, so there are no tables")
        return
    if folder.read_only:
        content = contents(found, atlas.choices, reference)
    else:
        content = write_report(folder.path, found, atlas.choices, reference)
    if not reference.worth:
        _log.info("no benchmark, so no correlations: put one into %s, or give --benchmark", DATA_FOLDER)
    rows = once_rows(content)
    # of several data sets the first: more do not fit side by side
    first = list(rows[0])[2].rpartition(" ")[2] if reference.worth else ""
    columns = [(one, *(row[one] for row in rows)) for one in rows[0] if one in _NAMED or one.endswith(first)]
    widths = [max(map(len, column)) for column in columns]
    for name, *cells in zip(*columns):
        numbers = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:]))
        _log.info("%s", f"{name:<{widths[0]}}{numbers}")
    _log.info("tables and charts: %s", folder.path / REPORT)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line."""
    parser = Parser("nasbench201.op_scores", "Scores of NAS-Bench-201's operations, and how good they are.")
    add_common_options(parser, seed=None, save="op_scores")
    add_workers_options(parser, cluster=True)
    add_seeds_option(parser, "over which scores are averaged")
    add_metrics_option(parser, "the zero-cost proxies, out of", combined=False, default=CHEAP)
    parser.option("--batch_size", type=whole_number(1), default=64, help="images in a minibatch")
    parser.option(
        "--decisions",
        type=whole_number(1, len(EDGES)),
        default=len(EDGES),
        metavar="N",
        help="how many decisions are looked at; 1 scores all edges at once and nothing else",
    )
    add_skeleton_options(parser)
    add_benchmark_option(parser)
    return parser.parse_args(argv)


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Score operations, and compare the scores with test accuracies; returns the exit code."""
    options = parse(argv)
    with console_log():
        _run(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
