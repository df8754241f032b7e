"""Tables of networks with what others have published of them: their scores beside ours (`--compare`)."""

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from foresight_ext.errors import UserError

# their name of a proxy -> ours, where they differ
_OURS = {"jacov": "jacob_cov"}


@dataclass(frozen=True)
class Naming:
    """How the tables of a space name networks.

    `columns` are the columns that may do so, one or several together, and `read` makes a genotype of their
    cells; UserError if they are none.
    """

    columns: Sequence[tuple[str, ...]]
    read: Callable[[Sequence[str]], str]

    @property
    def kind(self) -> str:
        """What a table must be, in words."""
        *names, last = [" and ".join(together) for together in self.columns]
        which = "a column" if all(len(together) == 1 for together in self.columns) else "columns"
        return f"a CSV with {which} {', '.join(names)} or {last}, and one for each proxy"


@dataclass(frozen=True)
class Table:
    """A CSV file of networks, known in messages by the option that names it.

    `places` are the columns that name a network; the others are `columns`, by name.
    """

    path: Path
    option: str
    naming: Naming
    rows: Sequence[Sequence[str]]
    width: int
    places: Sequence[int]
    columns: dict[str, int]

    @classmethod
    def open(cls, path: Path, option: str, naming: Naming) -> "Table":
        """Read a file; UserError if it can't be read or has no columns that name networks."""
        try:
            lines = [row for row in csv.reader(path.read_text("utf-8-sig").splitlines()) if row] or [[]]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise fault(path, option, f"cannot be read ({reason}): it must be {naming.kind}") from error
        header = [name.strip() for name in lines[0]]
        together = next((some for some in naming.columns if set(some) <= set(header)), None)
        if together is None:
            raise fault(path, option, f"has no column of architectures: it must be {naming.kind}")
        if twice := next((name for name in header if name and header.count(name) > 1), None):
            raise fault(path, option, f"names the column '{twice}' more than once: once is allowed")
        places = [header.index(name) for name in together]
        columns = {name: place for place, name in enumerate(header) if place not in places}
        return cls(path, option, naming, lines[1:], len(header), places, columns)

    def numbers(self, names: Iterable[str]) -> dict[str, dict[str, float]]:
        """By genotype, what some columns hold of it, NaN where they have a gap.

        UserError names the row that is damaged or comes for the second time.
        """
        found: dict[str, dict[str, float]] = {}
        for number, row in enumerate(self.rows, start=2):
            try:
                if len(row) != self.width:
                    raise UserError(f"it holds {len(row)} cells in place of {self.width}")
                genotype = self.naming.read([row[place] for place in self.places])
                if genotype in found:
                    raise UserError(f"it holds {genotype} for the second time")
                found[genotype] = {name: _number(name, row[self.columns[name]]) for name in names}
            except UserError as error:
                raise fault(self.path, self.option, f"is damaged: row {number}: {error}") from error
        return found


def _number(name: str, cell: str) -> float:
    try:
        return float(cell.strip() or math.nan)
    except ValueError:
        raise UserError(f"its {name} is no number: '{cell}'") from None


def fault(path: Path, option: str, what: str) -> UserError:
    """What to raise if a file that an option names is not what it must be."""
    return UserError(f"{option} '{path}' {what}")


@dataclass(frozen=True)
class Published:
    """Published scores. `scores` are columns by our names of the proxies: genotype -> score."""

    path: Path
    scores: dict[str, dict[str, float]]

    @classmethod
    def open(
        cls, path: Path, naming: Naming, proxies: Sequence[str], genotypes: Sequence[str]
    ) -> "Published":
        """What a CSV holds of some proxies and networks.

        UserError if it holds none of the proxies, fewer than two of the networks, or is no such file.
        """
        option = "--compare"
        table = Table.open(path, option, naming)
        theirs = {_OURS.get(name, name): name for name in table.columns}
        held = [name for name in proxies if name in theirs]
        if not held:
            others = ", ".join(theirs) or "none"
            raise fault(path, option, f"has none of the proxies {', '.join(proxies)}: it has {others}")
        numbers = table.numbers([theirs[name] for name in held])
        wanted = [genotype for genotype in genotypes if genotype in numbers]
        if len(wanted) < 2:
            count = len(wanted) or "none"
            told = f"holds {count} of the {len(genotypes)} networks: two or more are needed"
            raise fault(path, option, told)
        columns = {name: {one: numbers[one][theirs[name]] for one in wanted} for name in held}
        return cls(
            path,
            {
                name: {one: score for one, score in column.items() if not math.isnan(score)}
                for name, column in columns.items()
            },
        )
