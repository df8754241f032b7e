"""A table of what searches come to by a benchmark, over seeds: the body of the spaces' own commands."""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from foresight_ext.commands.options import (
    compute_of,
    images_of,
    place_of,
    workers_of,
)
from foresight_ext.commands.parser import Parser, console_log
from foresight_ext.commands.several import add_grid_options, add_sweep_options
from foresight_ext.errors import UserError
from foresight_ext.report.page import renew_report
from foresight_ext.runs.progress import in_words
from foresight_ext.search.settings import SearchSettings
from foresight_ext.tables import markdown, write_tables

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.report import Lookup
    from foresight_ext.search.run import SearchRun
    from foresight_ext.search.space import Space
    from foresight_ext.search.sweep import Searched

NAME = "reproduced"


def add_reproduce_options(parser: Parser) -> None:
    """The options of such a table."""
    add_sweep_options(parser, batch_size=256, pool_sizes="10", rounds="100")
    add_grid_options(parser)


def reproduce(options: argparse.Namespace, make: "Callable[[], Space]", lookup: "Lookup") -> int:
    """Search and validate what is missing, print the table and write it; returns the exit code.

    `make` makes the space, `lookup` asks its benchmark: UserError without one.
    """
    from foresight_ext.search.run import SearchRun
    from foresight_ext.search.sweep import swept

    if lookup.answer is None:
        raise UserError(f"no benchmark, so no test accuracies: {lookup.no_answer}")
    rounds = options.validate_rounds
    images, place, compute = images_of(options), place_of(options), compute_of(options)
    settings = SearchSettings(pool_size=max(options.pool_size), batch_size=options.batch_size)
    every = [
        replace(settings, seed=seed, metrics=(metric,), edge_decision=order)
        for metric in options.metrics
        for order in options.edge_decision
        for seed in options.seeds
    ]
    runs = [SearchRun(make(), images, one, place, compute, "all", lookup) for one in every]
    folder = place.out / runs[0].space.name / f"{options.save}-{NAME}"
    with console_log():
        searches = swept([(run, rounds) for run in runs], workers_of(options), folder)
        records = [
            record
            for run, found in zip(runs, searches)
            for record in _records(run, found, options.pool_size, rounds)
        ]
        rows = _rows(records)
        files = write_tables(folder, NAME, rows, records)
        print(f"\n{markdown(rows)}")
        print("error: percent of the test images, mean ± standard deviation over the seeds; rank: mean")
        print(renew_report(folder))
        print(f"tables: {', '.join(file.name for file in files)} in {folder}")
    return 0


def _records(
    run: "SearchRun", found: "Searched", pool_sizes: Sequence[int], rounds: Sequence[int]
) -> list[dict[str, Any]]:
    """A record for each N and V of a search: what was found, and what the benchmark says of it."""
    settings, records = found.settings, []
    for size in pool_sizes:
        for number in rounds if size > 1 else (0,):  # one member is not validated
            genotype, search, validation = found.winner(size, number)
            answer, _ = run.lookup.of(genotype)
            told = {
                f"{dataset} {what}": held[name]
                for dataset, held in (answer or {}).items()
                for what, name in (("accuracy", "accuracy"), ("rank", "rank"))
            }
            head = {"proxy": settings.metrics[0], "edge_decision": settings.edge_decision}
            sizes = {"N": size, "V": number, "seed": settings.seed, "genotype": genotype}
            seconds = {"search seconds": round(search, 2), "validation seconds": round(validation, 2)}
            records.append({**head, **sizes, **told, **seconds})
    return records


def _rows(records: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """A row for each proxy, order, N and V: the mean over the seeds."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for record in records:
        key = tuple(record[name] for name in ("proxy", "edge_decision", "N", "V"))
        groups.setdefault(key, []).append(record)
    rows = []
    for (proxy, order, size, rounds), some in groups.items():
        row = {
            "proxy": proxy,
            "order": order,
            "N": str(size),
            "V": str(rounds or "-"),
            "seeds": str(len(some)),
        }
        for column in [name.removesuffix(" accuracy") for name in some[0] if name.endswith(" accuracy")]:
            errors = [100 - one[f"{column} accuracy"] for one in some]
            spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
            row[f"{column} error, %"] = f"{statistics.fmean(errors):.2f}{spread}"
            row["rank" if "rank" not in row else f"{column} rank"] = (
                f"{statistics.fmean(one[f'{column} rank'] for one in some):.0f}"
            )
        for stage in ("search", "validation"):
            row[stage] = in_words(statistics.fmean(one[f"{stage} seconds"] for one in some))
        rows.append(row)
    return rows
