"""Tables in their four forms."""

import csv
import json

from foresight_ext.tables import latex, markdown, write_tables

ROWS = [{"proxy": "jacob_cov", "error": "6.1 ± 0.2"}, {"proxy": "a|b", "error": "5%"}]


def test_markdown_keeps_its_columns():
    assert markdown(ROWS) == ("| proxy | error |\n| --- | --- |\n| jacob_cov | 6.1 ± 0.2 |\n| a\\|b | 5% |\n")


def test_latex_escapes_what_it_would_read():
    lines = latex(ROWS).splitlines()
    assert lines[0] == r"\begin{tabular}{ll}"
    assert lines[4] == r"jacob\_cov & 6.1 $\pm$ 0.2 \\"
    assert lines[5] == r"a\textbar{}b & 5\% \\"
    assert lines[-1] == r"\end{tabular}"


def test_files_hold_the_records(tmp_path):
    records = [{"proxy": "jacob_cov", "error": 6.125}, {"proxy": "a|b", "error": 5.0}]
    files = write_tables(tmp_path / "new", "table", ROWS, records)
    assert [file.name for file in files] == ["table.md", "table.tex", "table.csv", "table.json"]
    assert json.loads(files[3].read_text()) == records
    with files[2].open(newline="") as file:
        assert list(csv.DictReader(file)) == [{k: str(v) for k, v in one.items()} for one in records]
