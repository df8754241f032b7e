"""The tables that a folder holds besides a run: of searches over seeds, of scored operations and networks."""

import csv
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Table:
    """What the columns are called, and rows of as many cells, the first of which says what the row is of."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(path: Path) -> list[Table]:
    """Every table of a folder, in the order of READERS; ValueError with the name of a file without sense."""
    found = []
    for name, read in READERS.items():
        if (path / name).is_file():
            try:
                found += read((path / name).read_text(encoding="utf-8"))
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                raise ValueError(name) from error
    return found


def _markdown(text: str) -> list[Table]:
    """The tables of a Markdown file, each under the headlines before it; that of the file tells nothing."""
    found, titles, lines = list[Table](), list[str](), list[list[str]]()
    for line in [*text.splitlines(), ""]:
        if line.startswith("| "):
            lines.append([_plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
            continue
        if lines:
            columns, _, *rows = lines
            if any(len(row) != len(columns) for row in rows):
                raise ValueError(line)
            found.append(Table(": ".join(titles), columns, rows))
            lines = []
        if headline := re.match("#(#+) (.*)", line):
            above = len(headline[1]) - 1  # how many headlines this one stands under
            titles[above:] = [headline[2]]
    return found


def _plain(cell: str) -> str:
    """A cell without what Markdown makes of it."""
    return cell.replace("\\|", "|").replace("**", "").strip().strip("`")


def _correlations(text: str) -> list[Table]:
    """How proxies go together with accuracies: of all networks, and of the distinct ones."""
    content = json.loads(text)
    several = {"networks": content}
    if "distinct" in content:
        several["distinct networks"] = content["distinct"]
    found = []
    for what, one in several.items():
        rows = {
            proxy: {
                f"{dataset} {name}": told[name]
                for dataset, told in by_dataset.items()
                for name in ("spearman", "kendall")
            }
            for proxy, by_dataset in one["correlations"].items()
        }
        found.append(_table(f"Scores and accuracies of {one['networks']} {what}", "proxy", rows))
    return found


def _compared(text: str) -> list[Table]:
    content = json.loads(text)
    return [_table(f"Spearman with {content['with']}, and with accuracies", "proxy", content["spearman"])]


def _scores(text: str) -> list[Table]:
    """What finite scores there are, in a few numbers for each proxy."""
    (_, *proxies), *rows = csv.reader(text.splitlines())
    table = []
    for place, proxy in enumerate(proxies, start=1):
        scores = sorted(score for row in rows if math.isfinite(score := float(row[place] or "nan")))
        few = [f"{scores[number]:.6g}" for number in (0, len(scores) // 2, -1)] if scores else ["–"] * 3
        table.append([proxy, str(len(scores)), *few])
    return [Table("Scores of networks", ["proxy", "networks", "lowest", "median", "highest"], table)]


def _ranks(text: str) -> list[Table]:
    rows = {
        network: {proxy: f"{one['rank'] or '–'} of {one['of']}" for proxy, one in ranks.items()}
        for network, ranks in json.loads(text).items()
    }
    return [_table("Rank by each proxy, 1 the best: no accuracy", "network", rows)]


def _table(title: str, first: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [[name, *(_told(row.get(column)) for column in columns)] for name, row in rows.items()]
    return Table(title, [first, *columns], cells)


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return "–" if value is None else str(value)


# the files of a folder that hold tables, and what reads them
READERS: dict[str, Callable[[str], list[Table]]] = {
    "reproduced.md": _markdown,
    "published.md": _markdown,
    "op_scores.md": _markdown,
    "correlations.json": _correlations,
    "compared.json": _compared,
    "ranks.json": _ranks,
    "scores.csv": _scores,
}
