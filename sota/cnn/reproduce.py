"""The published architectures of the DARTS spaces, from their seeds: python -m sota.cnn.reproduce --help.

Each is searched again as its name says, and compared place by place. What is there is not computed again.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.cnn.reproduce", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import compute_of, images_of, place_of, workers_of
from foresight_ext.commands.parser import Parser, console_log, entry_point
from foresight_ext.commands.several import add_orders_option, add_sweep_options, several
from foresight_ext.errors import UserError
from foresight_ext.files import write_text
from foresight_ext.report.page import renew_report
from foresight_ext.runs.progress import in_words
from foresight_ext.search.settings import SearchSettings
from foresight_ext.tables import csv_text, markdown, write_tables
from sota.cnn.candidates import CANDIDATES
from sota.cnn.notation import parse_genotype
from sota.cnn.published import PLACES, Difference, Published, agreeing, partings, places, published

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.sweep import Searched

NAME = "published"
FLAGS = "--seeds, --spaces, --edge_decision, --pool_size, --validate_rounds"


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search what is missing, print the table and write it; returns the exit code."""
    options = _parse(argv)
    every = published()
    asked = [one for one in every if _is_asked(one, options)]
    if not asked:
        raise UserError(f"no published architecture is of these {FLAGS}")

    from foresight_ext.search.run import SearchRun
    from foresight_ext.search.sweep import swept
    from sota.cnn.space import DartsSpace

    groups: dict[tuple[str, str, int, int], list[Published]] = {}
    for one in asked:  # a pool of random networks is drawn at no cost: each has its own
        sampled = one.order == "sample"
        groups.setdefault((one.space, one.order, one.seed, one.N if sampled else 0), []).append(one)
    images, place, compute = images_of(options), place_of(options), compute_of(options)
    runs = []
    for (space, order, seed, sampled_of), some in groups.items():
        settings = SearchSettings(
            seed,
            edge_decision=order,
            pool_size=max(one.N for one in some),
            batch_size=options.batch_size,
        )
        rounds = tuple(dict.fromkeys(one.V for one in some if one.N > 1))
        own = replace(place, save=f"{place.save}-N{sampled_of}") if sampled_of else place
        runs.append((SearchRun(DartsSpace(space), images, settings, own, compute), rounds))
    folder = place.out / f"{options.save}-{NAME}"
    with console_log():
        records = {}
        for some, found in zip(groups.values(), swept(runs, workers_of(options), folder)):
            records.update({one.name: _record(one, found) for one in some})
        told = [records[one.name] for one in asked]
        rows = [_row(record) for record in told]
        files = write_tables(folder, NAME, rows, told) + [_write_places(folder, told)]
        print(f"\n{markdown(rows)}")
        whole = sum(record["winner agrees"] == PLACES for record in told)
        within = sum(record["closest agrees"] == PLACES for record in told)
        print(f"{whole} of {len(told)} published architectures are winners, {within} are members of the pool")
        if len(asked) < len(every):
            print(f"{len(every) - len(asked)} more are not of these {FLAGS}")
        print(renew_report(folder))
        print(f"tables: {', '.join(file.name for file in files)} in {folder}")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        "sota.cnn.reproduce", "The published architectures of the DARTS spaces, from their seeds."
    )
    add_sweep_options(parser, batch_size=64, pool_sizes="1,5,10,2500,20000", rounds="1,10,100")
    parser.option(
        "--spaces",
        type=several(_space),
        default="s5,s1,s2,s3,s4,s6",
        metavar="NAME[,NAME...]",
        help=f"out of {', '.join(CANDIDATES)}; s6 has the baseline of the largest networks",
    )
    add_orders_option(parser, "random,global_op_greedy,sample", "searches that decided edges in these orders")
    return parser.parse_args(argv)


def _space(name: str) -> str:
    if name not in CANDIDATES:
        raise argparse.ArgumentTypeError(f"'{name}' is no space: choose from {', '.join(CANDIDATES)}")
    return name


def _is_asked(one: Published, options: argparse.Namespace) -> bool:
    return (
        one.space in options.spaces
        and one.order in options.edge_decision
        and one.seed in options.seeds
        and one.N in options.pool_size
        and (not one.V or one.V in options.validate_rounds)
    )


def _record(one: Published, found: "Searched") -> dict[str, Any]:
    """What a search came to, beside the published architecture."""
    from sota.cnn.sizes import SETTINGS, size

    genotype = one.genotype
    winner, search, validation = found.winner(one.N, one.V)
    members = [parse_genotype(member) for member in found.pool[: one.N]]
    agree = [agreeing(member, genotype) for member in members]
    closest = agree.index(max(agree))
    winning = found.pool.index(winner)
    return {
        "architecture": one.name,
        "winner agrees": agreeing(parse_genotype(winner), genotype),
        "closest agrees": agree[closest],
        "closest member": closest,
        "winner": winning,
        "parameters": size(parse_genotype(winner), SETTINGS[0]).parameters,
        "published parameters": size(genotype, SETTINGS[0]).parameters,
        "search seconds": round(search, 2),
        "validation seconds": round(validation, 2),
        **_parting("winner", found, winning, one),
        **_parting("closest", found, closest, one),
    }


def _parting(what: str, found: "Searched", member: int, one: Published) -> dict[str, Any]:
    """A pool member's decisions that went another way, in their order, and the places that differ."""
    entries = [entry for entry in found.entries if entry["member"] == member]
    genotype = parse_genotype(found.pool[member])
    parts = partings(entries, one.space, one.genotype)
    differing = places(entries, one.space, genotype, one.genotype)
    written = [place.as_written() for place in differing]
    margins = ("?" if place["margin"] is None else f"{place['margin']:.3g}" for place in written)
    return {
        f"{what} margins": ", ".join(margins),
        f"{what} parts at": str(parts[0]) if parts else "",
        f"{what} parts": [asdict(parting) for parting in parts],
        f"{what} places": written,
    }


def _write_places(folder: Path, records: Sequence[dict[str, Any]]) -> Path:
    """A line for each place that differs: where, what was kept, and by what margin of which decision."""
    rows = [
        {"architecture": record["architecture"], "member": what, **place}
        for record in records
        for what in ("winner", "closest")
        for place in record[f"{what} places"]
    ]
    columns = ["architecture", "member", *Difference("", "", "", None).as_written()]
    file = folder / "places.csv"
    write_text(file, csv_text(rows, columns))
    return file


def _row(record: dict[str, Any]) -> dict[str, str]:
    """What people read of a record.

    Of the closest member the decision at which it left its way; of both the margin of every place.
    """

    def agrees(number: int) -> str:
        return f"**{number}**" if number == PLACES else str(number)

    return {
        "architecture": f"`{record['architecture']}`",
        "winner": agrees(record["winner agrees"]),
        "its margins": record["winner margins"],
        "closest": f"{agrees(record['closest agrees'])} (member {record['closest member'] + 1})",
        "closest's margins": record["closest margins"],
        "parts at (margin)": record["closest parts at"],
        "parameters": f"{record['parameters'] / 1e6:.3f} M",
        "published": f"{record['published parameters'] / 1e6:.3f} M",
        "search": in_words(record["search seconds"]),
        "validation": in_words(record["validation seconds"]),
    }


if __name__ == "__main__":
    sys.exit(main())
