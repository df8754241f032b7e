"""The options and the end of the commands that score networks of a space."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foresight_ext.commands.options import (
    add_common_options,
    add_metrics_option,
    add_workers_options,
    compute_of,
    images_of,
    place_of,
    workers_of,
)
from foresight_ext.commands.parser import Parser, user_path, whole_number
from foresight_ext.report.page import renew_report

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.scoring.networks import ScoringSettings
    from foresight_ext.scoring.published import Naming
    from foresight_ext.scoring.run import Networks
    from foresight_ext.search.space import Space


def add_scoring_options(parser: Parser, size: int | None = None, compare: str = "") -> None:
    """What every such command takes.

    `size` is how many networks there are, if that is known; `compare` is what --compare without a file means.
    """
    add_common_options(parser, seed=0, save="scores")
    add_metrics_option(parser, "the zero-cost proxies, out of", combined=False)
    every = f"all {size:,}" if size is not None else "all"
    parser.option(
        "--sample",
        type=whole_number(1, size),
        default=None,
        metavar="N",
        help=f"how many networks, drawn at random; none means {every}",
    )
    parser.option("--batch_size", type=whole_number(2), default=64, help="images in the minibatch")
    add_workers_options(parser, cluster=True)
    alone: dict[str, Any] = {"nargs": "?", "const": True} if compare else {}
    parser.option(
        "--compare",
        type=user_path,
        default=None,
        metavar="FILE",
        help="a CSV of published scores to compare ours with, such as NAS-Bench-Suite-Zero's"
        + (f"; without FILE {compare}" if compare else ""),
        **alone,
    )


def settings_of(options: argparse.Namespace, space: "Space") -> "ScoringSettings":
    """What makes the scores of a space's networks: what add_scoring_options asked."""
    from foresight_ext.scoring.networks import ScoringSettings

    return ScoringSettings(space, options.seed, images_of(options), options.batch_size)


def score(
    options: argparse.Namespace,
    settings: "ScoringSettings",
    networks: "Networks",
    naming: "Naming",
    name: str,
    table: Path | None = None,
) -> None:
    """Score networks and report, in a run folder in `name`; `table` is what --compare alone means."""
    from foresight_ext.scoring.published import Published
    from foresight_ext.scoring.run import ScoringRun

    compared = table if options.compare is True else options.compare
    published = None
    if compared is not None:
        published = Published.open(compared, naming, options.metrics, networks.sample)
    place, compute, workers = place_of(options), compute_of(options), workers_of(options)
    run = ScoringRun(settings, networks, options.metrics, name, place, compute, workers, published)
    path = run.run()
    print(renew_report(path))
    print(f"run: {path}")
