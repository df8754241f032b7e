"""Scores that others have published, as a table of networks by proxies, beside our own (`--compare`)."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foresight_ext.errors import UserError
from nasbench201.genotype import format_genotype, parse_genotype

# what the column with the architectures may be called: by NAS-Bench-Suite-Zero, benchmarks, our scores.csv
_ARCHITECTURES = ("net_str", "arch", "architecture")
# their name of a proxy -> ours, where they differ
_OURS = {"jacov": "jacob_cov"}
_KIND = (
    f"a CSV with a column {', '.join(_ARCHITECTURES[:-1])} or {_ARCHITECTURES[-1]}, and one for each proxy"
)


@dataclass(frozen=True)
class Published:
    """A table of scores. `scores` are columns by our names of the proxies: architecture -> score."""

    path: Path
    scores: dict[str, dict[str, float]]

    @classmethod
    def open(cls, path: Path, proxies: Sequence[str], architectures: Sequence[str]) -> "Published":
        """What a CSV holds of some proxies and architectures.

        UserError if it holds none of the proxies, fewer than two of the architectures, or is no such file.
        """
        header, rows = _read(path)
        place = next((header.index(name) for name in _ARCHITECTURES if name in header), None)
        if place is None:
            raise _fault(path, f"has no column of architectures: it must be {_KIND}")
        columns = {_OURS.get(name, name): number for number, name in enumerate(header)}
        held = [name for name in proxies if columns.get(name, place) != place]
        if not held:
            others = ", ".join(name for name, number in columns.items() if number != place)
            raise _fault(path, f"has none of the proxies {', '.join(proxies)}: it has {others or 'none'}")
        wanted = set(architectures)
        scores: dict[str, dict[str, float]] = {name: {} for name in held}
        seen: set[str] = set()
        for number, row in enumerate(rows, start=2):
            try:
                if len(row) != len(header):
                    raise ValueError(f"{len(row)} cells in place of {len(header)}")
                architecture = format_genotype(parse_genotype(row[place]))
                if architecture in seen:
                    raise ValueError(f"{architecture} for the second time")
                seen.add(architecture)
                for name in held:
                    score = float(row[columns[name]].strip() or math.nan)  # an empty cell is a gap
                    if architecture in wanted and not math.isnan(score):
                        scores[name][architecture] = score
            except (UserError, ValueError) as error:
                raise _fault(path, f"is damaged: row {number} holds {error}") from error
        if len(seen & wanted) < 2:
            count = len(seen & wanted) or "none"
            raise _fault(path, f"holds {count} of the {len(wanted)} networks: two or more are needed")
        return cls(path, scores)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        header, *rows = [row for row in csv.reader(path.read_text("utf-8-sig").splitlines()) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise _fault(path, f"cannot be read ({reason}): it must be {_KIND}") from error
    return [name.strip() for name in header], rows


def _fault(path: Path, what: str) -> UserError:
    return UserError(f"--compare '{path}' {what}")
