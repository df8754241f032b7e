"""Run folders as one HTML page that needs nothing else, and the file that it is written to."""

import errno
import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foresight_ext.errors import UserError
from foresight_ext.files import write_text
from foresight_ext.report.heatmap import SHADES, SIDE
from foresight_ext.report.reading import Run, read_run
from foresight_ext.report.view import view
from foresight_ext.runs.progress import in_words

if TYPE_CHECKING:
    from jinja2 import Template

REPORT = "report.html"
MOST_SQUARES = 5000  # of all heat maps of a page: the page stays below a megabyte
_MARK = re.compile(r'<meta name="generator" content="[^"]*">')
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class _InTheWay(UserError):
    """There is a file that is not to be overwritten."""


def write_report(folders: Sequence[Path], out: Path | None = None, force: bool = False) -> Path:
    """Write the page of some runs and return its path, REPORT in the first folder unless `out` names another.

    A report there of the same runs is renewed; any other file is overwritten with `force` only. UserError if
    that is not given, for folders of no run, and for damaged files.
    """
    if twice := next((one for one in folders if folders.count(one) > 1), None):
        raise UserError(f"'{twice}' is given twice: leave one of them out")
    path = folders[0] / REPORT if out is None else out
    page = page_of([read_run(folder) for folder in folders])
    if path.is_dir():
        raise UserError(f"--out '{path}' is a folder: name a file")
    if path.exists() and not force:
        there = path.read_bytes()
        if there == page.encode():
            return path
        if out is not None or _mark(there.decode(errors="replace")) != _mark(page):
            whose = "" if out is not None else ", and is no report of just this"
            raise _InTheWay(f"'{path}' exists already{whose}: give --force to overwrite it, or another --out")
    write_text(path, page)
    return path


def renew_report(folder: Path) -> str:
    """Write the report of a run that has ended: a line that names it, or says why there is none."""
    try:
        return f"report: {write_report([folder])}"
    except _InTheWay:  # --force would start the whole run afresh here
        elsewhere = f"python -m foresight_ext.report {folder} --out FILE makes one elsewhere"
        return f"no report: {folder / REPORT} holds something else; {elsewhere}"
    except UserError as error:
        return f"no report: {error}"
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        return f"no report: {folder} can't be written: {error.strerror}"


def page_of(runs: Sequence[Run]) -> str:
    """The page's HTML: the same runs give the same page."""
    labels = _labels([run.path for run in runs])
    views = [view(run, label, MOST_SQUARES // len(runs)) for run, label in zip(runs, labels)]
    trained = [(run, label) for run, label in zip(runs, labels) if run.training is not None]
    page = _template().render(
        title=labels[0] if len(runs) == 1 else f"{len(runs)} runs",
        runs=views,
        settings=_compared([run.settings for run in runs]),
        environment=_compared([run.environment for run in runs]),
        training_settings=_compared([_of_training(run) for run, _ in trained]),
        labels=labels,
        trained=[label for _, label in trained],
        shades=range(SHADES + 1),
        side=SIDE,
    )
    return page.encode(errors="replace").decode()  # JSON may hold halves of letters, which no file can


@functools.cache
def _template() -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("foresight_ext.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = in_words
    return environment.get_template("report.html")


def _mark(page: str) -> str:
    """The line that tells which runs a page is of; empty where a file is no report."""
    found = _MARK.search(page)
    return found[0] if found is not None else ""


def _labels(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the runs apart."""
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        labels = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(labels)) == len(labels):
            break
    return labels


def _compared(tables: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str], bool]]:
    """Every name of some tables, the value in each, and whether they differ."""
    rows = []
    for name in dict.fromkeys(name for table in tables for name in table):
        values = [_told(table[name]) if name in table else "–" for table in tables]
        if set(values) != {"–"}:
            rows.append((name.replace("_", " "), values, len(set(values)) > 1))
    return rows


def _of_training(run: Run) -> dict[str, Any]:
    """The settings of a run's training that are not the run's own."""
    asked = run.training.settings if run.training is not None else {}
    told = {name: value for name, value in asked.items() if value != run.settings.get(name)}
    return {name: value for name, value in told.items() if name not in ("architecture", "genotype")}


def _told(value: Any) -> str:
    """A setting in words."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)
