"""Tables for people and for files: Markdown, CSV, LaTeX and JSON of the same rows."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foresight_ext.files import write_text

_LATEX = {one: f"\\{one}" for one in "%_&#{}"} | {
    "±": "$\\pm$",
    "|": "\\textbar{}",
    "~": "\\textasciitilde{}",
}

# a row: what stands in each column
Row = Mapping[str, Any]


def markdown(rows: Sequence[Row]) -> str:
    """A table in Markdown; the first row names the columns."""
    columns = list(rows[0])
    cells = ([str(row[one]).replace("|", "\\|") for one in columns] for row in rows)
    lines = [columns, ["---"] * len(columns), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(rows: Sequence[Row]) -> str:
    """A table in LaTeX, with the rules of the package booktabs."""
    columns = list(rows[0])

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(_LATEX.get(one, one) for one in cell) for cell in cells) + r" \\"

    body = [line([str(row[one]) for one in columns]) for row in rows]
    lines = [rf"\begin{{tabular}}{{{'l' * len(columns)}}}", r"\toprule", line(columns), r"\midrule"]
    return "\n".join([*lines, *body, r"\bottomrule", r"\end{tabular}", ""])


def csv_text(records: Sequence[Row], columns: Sequence[str] = ()) -> str:
    """A table as CSV; the first row names the columns, unless they are given: of rows those alone."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(records[0]), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def write_tables(folder: Path, name: str, rows: Sequence[Row], records: Sequence[Row]) -> list[Path]:
    """Write name.md and name.tex of what people read, name.csv and name.json of the numbers behind it.

    Columns of lists stand in the JSON alone.
    """
    flat = [name for name, value in records[0].items() if not isinstance(value, list)]
    contents = {
        "md": markdown(rows),
        "tex": latex(rows),
        "csv": csv_text(records, flat),
        "json": json.dumps(list(records), indent=2) + "\n",
    }
    files = [folder / f"{name}.{suffix}" for suffix in contents]
    for file, content in zip(files, contents.values()):
        write_text(file, content)
    return files
