"""Goes on from a published DARTS architecture where a pool member of a search has just missed it.

python -m tests.benchmarks.published_pools RUN --go_on MEMBER=NAME [--go_on ...] [--pool_size N] [--data DIR]
[--threads N] [--out DIR], from the project's root. RUN is the run folder of a search of reproduce_darts.sh.
The official code builds each member's network before it searches the next one, from the same random stream:
where a member differs in one operation all later ones do. Here MEMBER is taken to have come out as NAME, and
those after it are discretised again, up to the run's last or --pool_size. Printed is in how many of the 16
places each agrees with the closest published architecture of its seed, as it was searched and now. Decisions
are kept in --out (RUN/go_on).
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import zip_longest
from pathlib import Path

from foresight_ext.commands.parser import Parser, console_log, entry_point, user_path, whole_number
from foresight_ext.devices import Compute, threads_set
from foresight_ext.errors import UserError
from foresight_ext.images.source import ImageSettings
from foresight_ext.measures import PROXIES
from foresight_ext.runs.config import compare_data, read_config
from foresight_ext.runs.journal import Journal
from foresight_ext.runs.progress import Progress
from foresight_ext.runs.results import POOL, read_own
from foresight_ext.search.journal import read_decisions, told, written
from foresight_ext.search.orders import ORDERS, Decision, Pruning
from foresight_ext.search.pool import PoolSearch
from foresight_ext.tables import markdown
from sota.cnn.notation import format_genotype, parse_genotype
from sota.cnn.published import PLACES, Published, agreeing, published
from sota.cnn.space import DartsSpace

Decisions = list[Decision | Pruning]


def go_on(
    search: PoolSearch,
    pool: Sequence[str],
    size: int,
    given: Mapping[int, str],
    done: Mapping[int, Decisions],
    report: Callable[[int, Decision | Pruning], None],
) -> list[str]:
    """A pool of a size with some of its members `given`: those before the first are as they were in `pool`.

    The others are searched. Decisions in `done` are taken over; `report` gets each new one.
    """
    found: list[str] = []
    for member in range(size):
        draws = search.draw(found[-1] if found else None)
        if member in given:
            found.append(given[member])
        elif member < min(given):
            found.append(pool[member])
        else:
            genotype, _ = search.discretise(draws, done.get(member, ()), partial(report, member))
            found.append(genotype)
    return found


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser("tests.benchmarks.published_pools", __doc__.splitlines()[0])
    parser.add_argument("run", type=user_path, help="the run folder of a search")
    parser.add_argument("--go_on", type=_pair, action="append", required=True, metavar="MEMBER=NAME")
    parser.option("--pool_size", type=whole_number(1), default=None, help="none means the run's")
    parser.option("--data", type=user_path, default=None, metavar="DIR", help="none means the run's")
    parser.option("--threads", type=whole_number(1), default=2, help="CPU threads to compute with")
    parser.option("--out", type=user_path, default=None, metavar="DIR", help="none means RUN/go_on")
    options = parser.parse_args(argv)

    if not (options.run / POOL).is_file():
        raise UserError(f"'{options.run}' is no run folder of a search: it has no {POOL}")
    config, pool = read_config(options.run), read_own(options.run / POOL)
    settings = config["settings"]
    space = DartsSpace(*(settings[name] for name in ("search_space", "search_channels", "search_layers")))
    seed = settings["seed"]
    known = [one for one in published() if (one.space, one.seed, one.order) == (space.name, seed, "random")]
    # people count the members from 1, as the table of reproduce_darts.sh does
    given = {member - 1: _genotype(name, known) for member, name in options.go_on}
    if not 0 <= min(given) <= len(pool):
        raise UserError(f"--go_on: the first member must be 1 to {len(pool) + 1}: the pool has {len(pool)}")
    size = options.pool_size or len(pool)
    if size <= max(given):
        raise UserError(f"--go_on: member {max(given) + 1} of {size}: --pool_size may ask for more")
    folder = options.out or options.run / "go_on"
    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join(f"{member}={name}" for member, name in sorted(options.go_on))
    device, _ = Compute().choose()
    with (
        console_log(),
        threads_set(options.threads),
        closing(Journal(folder / f"{name}.jsonl", remedy="delete it")) as journal,
    ):
        as_read = (settings.get(name) for name in ("image_size", "mean", "std"))
        root = options.data or (config["data"].get("root") and Path(config["data"]["root"]))
        data = ImageSettings(settings["dataset"], root, *as_read).open("train")
        compare_data(options.run, root, {"train": data.described()})
        proxy, order = PROXIES.get("jacob"), ORDERS.get("random")  # those of all that is published
        search = PoolSearch(space, data, proxy, order, seed, settings["batch_size"], device)
        supernet = search.supernet
        left = sum(member not in given for member in range(min(given), size))
        steps = left * (len(supernet.choices) + len(supernet.nodes))
        with Progress("decisions", steps, len(journal.entries)) as progress:

            def keep(member: int, decision: Decision | Pruning) -> None:
                journal.append({"member": member, **written(decision, supernet), "seconds": 0.0})
                progress.step(told(decision, supernet))

            found = go_on(search, pool, size, given, read_decisions(journal, supernet), keep)
    print(markdown([_row(*one, given, known) for one in enumerate(zip_longest(pool[:size], found))]))
    return 0


def _pair(text: str) -> tuple[int, str]:
    member, equals, name = text.partition("=")
    if not (equals and member.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is no MEMBER=NAME such as 1=init_pt_s5_C10_2_1_N5")
    return int(member), name


def _genotype(name: str, known: Sequence[Published]) -> str:
    for one in known:
        if one.name == name:
            return format_genotype(one.genotype)
    names = ", ".join(one.name for one in known)
    raise UserError(f"--go_on: '{name}' is not published of this space and seed: choose from {names}")


def _row(
    member: int, both: tuple[str | None, str], given: Mapping[int, str], known: Sequence[Published]
) -> dict[str, str]:
    def closest(genotype: str) -> str:
        parsed = parse_genotype(genotype)
        agree = {one.name: agreeing(parsed, one.genotype) for one in known}
        most = max(agree.values())
        names = ", ".join(f"`{name}`" for name, number in agree.items() if number == most)
        return f"{'**16**' if most == PLACES else most}: {names}"

    searched, gone_on = both
    now = "given" if member in given else "as it was" if member < min(given) else closest(gone_on)
    return {
        "member": str(member + 1),
        "searched": "" if searched is None else closest(searched),
        "gone on": now,
    }


if __name__ == "__main__":
    sys.exit(main())
