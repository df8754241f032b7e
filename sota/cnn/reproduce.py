"""The published architectures of the DARTS spaces, from their seeds: python -m sota.cnn.reproduce --help.

Each is searched again as its name says, and compared place by place. What is there is not computed again.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

if not __package__:  # started as a file: the project is not found from there
    print("error: start it as python -m sota.cnn.reproduce", file=sys.stderr)
    sys.exit(2)

from foresight_ext.commands.options import compute_of, images_of, place_of, workers_of
from foresight_ext.commands.parser import Parser, console_log, entry_point
from foresight_ext.commands.several import add_orders_option, add_sweep_options
from foresight_ext.errors import UserError
from foresight_ext.report.page import renew_report
from foresight_ext.runs.progress import in_words
from foresight_ext.search.settings import SearchSettings
from foresight_ext.tables import markdown, write_tables
from sota.cnn.candidates import CANDIDATES
from sota.cnn.notation import parse_genotype
from sota.cnn.published import PLACES, Parting, Published, agreeing, partings, published

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    from foresight_ext.search.sweep import Searched

NAME = "published"


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    """Search what is missing, print the table and write it; returns the exit code."""
    options = _parse(argv)
    asked = [one for one in published() if _is_asked(one, options)]
    if not asked:
        raise UserError(
            "no published architecture is of these --seeds, --spaces, --edge_decision, --pool_size, "
            "--validate_rounds"
        )

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
        files = write_tables(folder, NAME, rows, told)
        print(f"\n{markdown(rows)}")
        whole = sum(record["winner agrees"] == PLACES for record in told)
        within = sum(record["closest agrees"] == PLACES for record in told)
        print(f"{whole} of {len(told)} published architectures are winners, {within} are members of the pool")
        print(renew_report(folder))
        print(f"tables: {', '.join(file.name for file in files)} in {folder}")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        "sota.cnn.reproduce", "The published architectures of the DARTS spaces, from their seeds."
    )
    add_sweep_options(parser, batch_size=64, pool_sizes="1,5,10", rounds="1,10,100")
    parser.option(
        "--spaces",
        type=_spaces,
        default="s5,s1,s2,s3,s4,s6",
        metavar="NAME[,NAME...]",
        help=f"out of {', '.join(CANDIDATES)}; s6 has the baseline of the largest networks",
    )
    add_orders_option(parser, "random,global_op_once,sample", "searches that decided edges in these orders")
    return parser.parse_args(argv)


def _spaces(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in CANDIDATES:
            raise argparse.ArgumentTypeError(f"'{name}' is no space: choose from {', '.join(CANDIDATES)}")
    return names


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
        "winner parts": _parts(found, winning, one),
        "closest parts": _parts(found, closest, one),
    }


def _parts(found: "Searched", member: int, one: Published) -> list[dict[str, Any]]:
    entries = [entry for entry in found.entries if entry["member"] == member]
    return [asdict(parting) for parting in partings(entries, one.space, one.genotype)]


def _row(record: dict[str, Any]) -> dict[str, str]:
    """What people read of a record; of the closest member the decision at which it left its way."""

    def agrees(number: int) -> str:
        return f"**{number}**" if number == PLACES else str(number)

    first = [Parting(**parting) for parting in record["closest parts"][:1]]
    return {
        "architecture": f"`{record['architecture']}`",
        "winner": agrees(record["winner agrees"]),
        "closest": f"{agrees(record['closest agrees'])} (member {record['closest member'] + 1})",
        "parts at (margin)": str(first[0]) if first else "",
        "parameters": f"{record['parameters'] / 1e6:.3f} M",
        "published": f"{record['published parameters'] / 1e6:.3f} M",
        "search": in_words(record["search seconds"]),
        "validation": in_words(record["validation seconds"]),
    }


if __name__ == "__main__":
    sys.exit(main())
