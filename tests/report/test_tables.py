"""The report of folders that hold tables: of searches over seeds, of scored operations and networks."""

import json

import pytest

from foresight_ext.report.__main__ import main
from foresight_ext.report.reading import read_run
from foresight_ext.report.tables import Table, tables
from foresight_ext.tables import markdown, write_tables
from nasbench201 import op_scores, score_archs
from nasbench201.genotype import SPACE_SIZE
from nasbench201.score_archs import sampled
from tests.report.made import Page
from tests.running import TINY_NASBENCH201, done, refused
from tests.search.run.runs import table as benchmark

ROWS = [{"name": "`a`", "places": "**16**", "what": "x | y"}, {"name": "b", "places": "9", "what": ""}]


def test_tables_of_markdown_are_those_that_were_written(tmp_path):
    parts = ["# All", "words", "## One", markdown(ROWS), "more words", "### a", markdown(ROWS[:1]), "## Two"]
    (tmp_path / "op_scores.md").write_text("\n\n".join([*parts, markdown(ROWS[:1])]))
    first = Table("One", ["name", "places", "what"], [["a", "16", "x | y"], ["b", "9", ""]])
    others = [Table(title, first.columns, first.rows[:1]) for title in ("One: a", "Two")]
    assert tables(tmp_path) == [first, *others]


def test_tables_of_scores(tmp_path):
    correlations = {
        "networks": 9,
        "correlations": {"snip": {"c": {"unusable": 0, "spearman": 0.5, "kendall": None}}},
    }
    distinct = {**correlations, "networks": 7}
    (tmp_path / "correlations.json").write_text(json.dumps({**correlations, "distinct": distinct}))
    (tmp_path / "compared.json").write_text(
        json.dumps({"with": "a.csv", "spearman": {"snip": {"networks": 3, "both": 0.25}}})
    )
    (tmp_path / "ranks.json").write_text(json.dumps({"mine": {"snip": {"rank": None, "of": 4}}}))
    (tmp_path / "scores.csv").write_text("architecture,snip,zen\na,3,\nb,1,-inf\nc,2.5,nan\n")
    columns = ["proxy", "c spearman", "c kendall"]
    few = ["proxy", "networks", "lowest", "median", "highest"]
    assert tables(tmp_path) == [
        Table("Scores and accuracies of 9 networks", columns, [["snip", "0.500", "–"]]),
        Table("Scores and accuracies of 7 distinct networks", columns, [["snip", "0.500", "–"]]),
        Table(
            "Spearman with a.csv, and with accuracies",
            ["proxy", "networks", "both"],
            [["snip", "3", "0.250"]],
        ),
        Table("Rank by each proxy, 1 the best: no accuracy", ["network", "snip"], [["mine", "– of 4"]]),
        Table("Scores of networks", few, [["snip", "3", "1", "2.5", "3"], ["zen", "0", *"–––"]]),
    ]


def test_notes_of_ones_own_are_no_tables(tmp_path):
    (tmp_path / "notes.md").write_text("| mine |\n")
    assert tables(tmp_path) == []


def test_a_folder_of_tables_alone_has_a_page(tmp_path):
    write_tables(tmp_path, "reproduced", ROWS, ROWS)
    done(main, str(tmp_path))
    page = Page((tmp_path / "report.html").read_text())
    assert ["a", "16", "x | y"] in page.rows
    assert "what was computed so far" in page.words
    for nothing in ("No architecture so far.", "No stage was timed.", "Settings"):
        assert nothing not in page.words


@pytest.mark.parametrize(
    "name, content",
    [
        ("reproduced.md", "| a | b |\n| --- | --- |\n| 1 |\n"),
        ("reproduced.md", "| a | b |\n"),
        ("correlations.json", "{"),
        ("correlations.json", '{"correlations": {}}'),
        ("ranks.json", '{"mine": {"snip": 3}}'),
    ],
)
def test_a_damaged_table_is_told(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert refused(main, str(tmp_path)).startswith(
        f"{tmp_path / name} is damaged: no report can be made of it"
    )


def test_commands_end_with_a_report(tmp_path):
    known, rows = tmp_path / "made.csv", enumerate(sampled(0, SPACE_SIZE))
    benchmark(known, [f"{one},{number / 200},{number / 300},{number / 400}" for number, one in rows])
    given = [*TINY_NASBENCH201, f"--out={tmp_path}", "--metrics=params", f"--benchmark={known}"]
    for command, asked, name, words in (
        (score_archs, "--sample=3", "scores", "Scores and accuracies of 3 networks"),
        (op_scores, "--seeds=0", "op_scores", "All edges at once"),
    ):
        told = done(command.main, *given, asked)[-2:]
        [path] = tmp_path.glob(f"nas-bench-201-{name.replace('_', '-')}/{name}*")
        assert told == [f"report: {path / 'report.html'}", f"run: {path}"]
        page = Page((path / "report.html").read_text())
        assert words in page.words
        assert any(row[0].startswith("params") for row in page.rows)
        assert ["batch size", "8"] in page.rows
        assert "what was computed so far" in page.words
        seconds = [json.loads(line)["seconds"] for line in (path / f"{name}.jsonl").read_text().splitlines()]
        [took] = [row for row in page.rows if row[0].startswith("scores of")]
        assert took[1:3] == [f"{len(seconds)} entries of {name}.jsonl", f"{sum(seconds):.1f}"]
    # the charts of the last one, and its larger pictures as pixels
    text = (path / "report.html").read_text()
    assert 'alt="Chart of the matrix: its numbers are in matrix.csv"' in text
    assert text.count('src="data:image/svg+xml;base64,') == len(list(path.glob("*.svg")))
    drawing = path / "matrix.svg"
    drawing.write_bytes(drawing.read_bytes() + b"<!--" + b" " * 150_000 + b"-->")
    assert read_run(path).drawings["matrix"] == ("png", (path / "matrix.png").read_bytes())
