"""An atlas's report as files: Markdown, JSON and CSV tables, a heat map and a chart of the decisions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from foresight_ext.charts import heat_map, line_panels
from foresight_ext.drawing import save_figure
from foresight_ext.files import write_json, write_text
from foresight_ext.search.atlas_report import TITLES, Method, Reference, contents
from foresight_ext.supernets.supernet import Choice
from foresight_ext.tables import Row, csv_text, markdown

# all tables for people, and for programs; every score; correlations; the names of the charts
REPORT, TABLES, SCORES, CORRELATIONS = "op_scores.md", "op_scores.json", "op_scores.csv", "correlations.csv"
MATRIX, PROXIES, DECISIONS = "matrix", "proxies", "decisions"
_MOST_LINES = 8  # in a panel: more can't be told apart


def write_report(
    folder: Path, found: Sequence[Method], choices: Sequence[Choice], reference: Reference
) -> dict[str, Any]:
    """Write all tables and charts into a folder; what the JSON file holds."""
    content = contents(found, choices, reference)
    write_json(folder / TABLES, content)
    write_text(folder / REPORT, _markdown(content, reference.meaning))
    write_text(folder / SCORES, csv_text(list(_score_rows(found, choices))))
    write_text(folder / CORRELATIONS, csv_text(list(_correlation_rows(content))))
    names = content["matrix"]["names"]
    rows = [{"": one, **dict(zip(names, row))} for one, row in zip(names, content["matrix"]["spearman"])]
    write_text(folder / f"{MATRIX}.csv", csv_text(rows))
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
    lines: dict[str, dict[str, list[float]]] = {kind: {} for kind in TITLES}
    for one in content["methods"].values():
        told = [decision["spearman"][against] for decision in one["decisions"]]
        lines[one["kind"]][one["proxy"]] = told
    names = sorted(lines["removal"], key=lambda name: -lines["removal"][name][0])
    longest = max(len(line) for some in lines.values() for line in some.values())
    columns = [f"{title} {number}" for title in TITLES.values() for number in range(longest)]
    rows = [[some[name] for some in lines.values()] for name in names]
    values = [[one for line in row for one in (*line, *[None] * (longest - len(line)))] for row in rows]
    title = f"Scores of undecided edges against {against}"
    save_figure(
        lambda: heat_map(f"{title}, by decisions taken", names, columns, values),
        folder / f"{PROXIES}.{suffix}",
    )
    shown = f", the best {_MOST_LINES} by removal" if len(names) > _MOST_LINES else ""
    panels = {
        f"{TITLES[kind]} scores": {name: some[name] for name in names[:_MOST_LINES]}
        for kind, some in lines.items()
    }
    y_label = "Spearman, mean over edges and seeds"
    save_figure(
        lambda: line_panels(f"{title}, while discretising{shown}", "decisions taken", y_label, panels),
        folder / f"{DECISIONS}.{suffix}",
    )


def _score_rows(found: Sequence[Method], choices: Sequence[Choice]) -> Iterator[Row]:
    """Every score that there is."""
    for one in found:
        for seed, steps in one.steps.items():
            for number in range(len(steps)):
                where = {"proxy": one.proxy, "kind": one.kind, "seed": seed, "decision": number}
                for choice, row in one.rows(seed, number).items():
                    for candidate, score in zip(choices[choice].candidates, row):
                        edge = choices[choice].name
                        yield {**where, "edge": edge, "operation": candidate, "score": score}


def _correlation_rows(content: dict[str, Any]) -> Iterator[Row]:
    """Correlations, and how the picked architecture stands: at once, and at each decision (seeds' means)."""
    datasets = _datasets(content)
    for one in content["methods"].values():
        for decision, told in [("once", one["once"]), *enumerate(one["decisions"])]:
            places = {
                f"{what} {dataset}": told["standing"].get(dataset, {}).get(what, "")
                for dataset in datasets
                for what in ("rank", "error")
            }
            where = {"proxy": one["proxy"], "kind": one["kind"], "decision": decision}
            count = len(told.get("seeds", one["seeds"]))
            yield {**where, "seeds": count, **told["spearman"], **places}


def _datasets(content: dict[str, Any]) -> list[str]:
    methods = content["methods"].values()
    return list(dict.fromkeys(dataset for one in methods for dataset in one["once"]["standing"]))


# ---- Markdown ----


def once_rows(content: dict[str, Any]) -> list[Row]:
    """Correlations at once with what operations are worth, and how the picked architecture stands."""
    rows: list[Row] = []
    for title, one in content["methods"].items():
        told = one["once"]
        numbers = {name: f"{value:.3f}" for name, value in told["spearman"].items()}
        places = {
            f"rank, error {dataset}": f"{place['rank']}, {place['error']:.2f}%"
            if (place := told["standing"].get(dataset))
            else "-"
            for dataset in _datasets(content)
        }
        rows.append({"scores": title, "seeds": str(len(one["seeds"])), **numbers, **places})
    return rows


def _decision_rows(content: dict[str, Any], keys: Sequence[str], form: str) -> list[Row]:
    """What stands under some keys of each decision."""
    numbers = range(max(len(one["decisions"]) for one in content["methods"].values()))
    return [
        {
            "scores": title,
            **{str(number): _cell(one["decisions"], (number, *keys), form) for number in numbers},
        }
        for title, one in content["methods"].items()
    ]


def _cell(found: Any, keys: Sequence[int | str], form: str) -> str:
    try:
        for key in keys:
            found = found[key]
    except LookupError:  # a proxy without usable scores decides no further, or picks nothing
        return "-"
    return format(found, form)


def _choice_rows(scores: dict[str, list[float | str]], candidates: Sequence[str], form: str) -> list[Row]:
    """The numbers of choices that have the same candidates."""
    return [
        {"edge": name, **{one: format(float(score), form) for one, score in zip(candidates, row)}}
        for name, row in scores.items()
    ]


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
        markdown(once_rows(content)),
    ]
    if content["worth"]:
        parts.append("## While discretising")
        parts.append(
            "Columns: how many edges are decided, in their order, by the proxy's removal scores. The edges "
            "left are compared; means over the seeds."
        )
    for name in content["worth"]:
        parts += [f"### {name}", markdown(_decision_rows(content, ("spearman", name), ".3f"))]
    for name in _datasets(content):
        told = f"### Error on {name} in percent: decided edges, and the best operation of each edge left"
        parts += [told, markdown(_decision_rows(content, ("standing", name, "error"), ".2f"))]
    candidates = next(iter(content["choices"].values()))
    for name, rows in content["worth"].items():
        parts += [f"## {name}", markdown(_choice_rows(rows, candidates, ".2f"))]
    for title, one in content["methods"].items():
        parts += [f"## {title}", markdown(_choice_rows(one["scores"], candidates, ".6g"))]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
