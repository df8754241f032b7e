"""An atlas's report as files: Markdown, JSON and CSV tables, a heat map and a chart of the decisions."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from foresight_ext.charts import heat_map, line_panels
from foresight_ext.drawing import save_figure
from foresight_ext.files import write_json, write_text
from foresight_ext.search.atlas_report import TITLES, Method, Reference, contents
from foresight_ext.supernets.supernet import Choice

# all tables for people, and for programs; every score; correlations; the names of matrix and chart
REPORT, TABLES, SCORES, CORRELATIONS = "op_scores.md", "op_scores.json", "op_scores.csv", "correlations.csv"
MATRIX, DECISIONS = "matrix", "decisions"


def write_report(
    folder: Path, found: Sequence[Method], choices: Sequence[Choice], reference: Reference
) -> dict[str, Any]:
    """Write all tables and charts into a folder; what the JSON file holds."""
    content = contents(found, choices, reference)
    write_json(folder / TABLES, content)
    write_text(folder / REPORT, _markdown(content, reference.meaning))
    _write_csv(folder / SCORES, _score_lines(found, choices))
    _write_csv(folder / CORRELATIONS, _correlation_lines(content))
    names = content["matrix"]["names"]
    lines = [[name, *row] for name, row in zip(names, content["matrix"]["spearman"])]
    _write_csv(folder / f"{MATRIX}.csv", [["", *names], *lines])
    for suffix in ("svg", "png"):
        _draw(folder, suffix, content)
    return content


def _draw(folder: Path, suffix: str, content: dict[str, Any]) -> None:
    names, values = content["matrix"]["names"], content["matrix"]["spearman"]
    title = "Spearman's correlation of operation scores, mean over the edges"
    save_figure(lambda: heat_map(title, names, names, values), folder / f"{MATRIX}.{suffix}")
    if not content["worth"]:
        return
    against = next(iter(content["worth"]))
    panels: dict[str, dict[str, list[float]]] = {}
    for one in content["methods"].values():
        line = [decision["spearman"][against] for decision in one["decisions"]]
        panels.setdefault(f"{TITLES[one['kind']]} scores", {})[one["proxy"]] = line
    title = f"Scores of undecided edges against {against}, while discretising"
    y_label = "Spearman, mean over edges and seeds"
    save_figure(
        lambda: line_panels(title, "decisions taken", y_label, panels), folder / f"{DECISIONS}.{suffix}"
    )


def _write_csv(path: Path, lines: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_text(path, text.getvalue())


def _score_lines(found: Sequence[Method], choices: Sequence[Choice]) -> Iterable[Sequence[Any]]:
    """Every score that there is."""
    yield "proxy", "kind", "seed", "decision", "edge", "operation", "score"
    for one in found:
        for seed, steps in one.steps.items():
            for number in range(len(steps)):
                for choice, row in one.rows(seed, number).items():
                    for candidate, score in zip(choices[choice].candidates, row):
                        yield one.proxy, one.kind, seed, number, choices[choice].name, candidate, score


def _correlation_lines(content: dict[str, Any]) -> Iterable[Sequence[Any]]:
    """Correlations, and how the picked architecture stands: at once, and at each decision (seeds' means)."""
    against, datasets = list(content["worth"]), _datasets(content)
    standing = [f"{what} {dataset}" for dataset in datasets for what in ("rank", "error")]
    yield "proxy", "kind", "seeds", "decision", *against, *standing
    for one in content["methods"].values():
        for decision, told in [("once", one["once"]), *enumerate(one["decisions"])]:
            places = [
                told["standing"].get(dataset, {}).get(what, "")
                for dataset in datasets
                for what in ("rank", "error")
            ]
            count = len(told.get("seeds", one["seeds"]))
            yield one["proxy"], one["kind"], count, decision, *told["spearman"].values(), *places


def _datasets(content: dict[str, Any]) -> list[str]:
    methods = content["methods"].values()
    return list(dict.fromkeys(dataset for one in methods for dataset in one["once"]["standing"]))


# ---- Markdown ----


def once_table(content: dict[str, Any]) -> list[list[str]]:
    """Correlations at once with what operations are worth, and how the picked architecture stands."""
    datasets = _datasets(content)
    lines = [["scores", "seeds", *content["worth"], *(f"rank, error {dataset}" for dataset in datasets)]]
    for title, one in content["methods"].items():
        told = one["once"]
        places = [
            f"{place['rank']}, {place['error']:.2f}%" if (place := told["standing"].get(dataset)) else "-"
            for dataset in datasets
        ]
        numbers = [f"{value:.3f}" for value in told["spearman"].values()]
        lines.append([title, str(len(one["seeds"])), *numbers, *places])
    return lines


def _decision_table(content: dict[str, Any], keys: Sequence[str], form: str) -> list[list[str]]:
    """What stands under some keys of each decision."""
    most = max(len(one["decisions"]) for one in content["methods"].values())
    lines = [["scores", *map(str, range(most))]]
    for title, one in content["methods"].items():
        cells = [_cell(decision, keys, form) for decision in one["decisions"]]
        lines.append([title, *cells, *["-"] * (most - len(cells))])
    return lines


def _cell(found: Any, keys: Sequence[str], form: str) -> str:
    for key in keys:
        found = found.get(key, {})
    return format(found, form) if isinstance(found, float) else "-"


def _score_table(
    rows: dict[str, list[float | str]], choices: dict[str, list[str]], form: str
) -> list[list[str]]:
    """The numbers of choices that have the same candidates."""
    candidates = next(iter(choices.values()))
    lines = [["edge", *candidates]]
    return lines + [[name, *(format(float(one), form) for one in row)] for name, row in rows.items()]


def _markdown(content: dict[str, Any], meaning: str) -> str:
    """All tables."""
    parts = [
        "# Operation scores",
        "Spearman's correlation per edge, mean over the edges. removal: the score of the supernet without "
        "the operation, the lower the better the operation. one-hot: with that operation alone on its edge, "
        f"the higher the better. Scores are negated where a proxy's lower ones are better. {meaning}",
        "## All edges at once",
        "By the scores' mean over the seeds. Rank and error: of the architecture of every edge's best "
        "operation.",
        _table(once_table(content)),
    ]
    if content["worth"]:
        parts.append("## While discretising")
        parts.append(
            "Columns: how many edges are decided, in their order, by the proxy's removal scores. The edges "
            "left are compared; means over the seeds."
        )
    for name in content["worth"]:
        parts += [f"### {name}", _table(_decision_table(content, ("spearman", name), ".3f"))]
    for name in _datasets(content):
        told = f"### Error on {name} in percent: decided edges, and the best operation of each edge left"
        parts += [told, _table(_decision_table(content, ("standing", name, "error"), ".2f"))]
    for name, rows in content["worth"].items():
        parts += [f"## {name}", _table(_score_table(rows, content["choices"], ".2f"))]
    for title, one in content["methods"].items():
        parts += [f"## {title}", _table(_score_table(one["scores"], content["choices"], ".6g"))]
    return "\n\n".join(parts) + "\n"


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rest))
