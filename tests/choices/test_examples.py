"""The worked examples run as a reader runs them, and the notebook is the script in cells."""

import ast
import os
import sys
import time

import nbformat
import pytest
from nbclient import NotebookClient

from tests import PROJECT_ROOT
from tests.running import finished, script

EXAMPLES = PROJECT_ROOT / "exp_scripts/examples"
FOUND = {  # the beginning of each choice's name, and how many there are
    "resnet": ("layer", 4),
    "vision_transformer": ("blocks.", 6),
    "signals": ("layer", 4),
}


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_it_runs_from_any_folder(name, tmp_path):
    start = time.monotonic()
    done = finished(script("example.sh", name), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - start < 60  # a few seconds where nobody else computes
    beginning, count = FOUND[name]
    kept = [line.split() for line in done.stdout.splitlines() if " <-- " in line]
    assert len(kept) == count
    assert all(words[0].startswith(beginning) for words in kept)
    assert not list(tmp_path.iterdir())


def test_python_runs_the_file_where_the_library_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))  # as good as installed
    done = finished([sys.executable, str(EXAMPLES / "signals.py")], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "found layer0=" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("lenet",), ("resnet", "signals")])
def test_an_unknown_example_is_told(arguments, tmp_path):
    done = finished(script("example.sh", *arguments), tmp_path)
    told = (
        "error: an example of exp_scripts/examples must be named: one of resnet signals vision_transformer\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


def test_the_notebook_is_the_script_and_shows_the_result(monkeypatch):
    paths = [str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    notebook = nbformat.read(EXAMPLES / "resnet.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    statements = ast.parse((EXAMPLES / "resnet.py").read_text()).body[1:]  # without the docstring
    cells = ast.parse("\n".join(cell.source for cell in code[:-1])).body
    assert list(map(ast.dump, cells)) == list(map(ast.dump, statements))
    shown = [output["data"]["text/html"] for output in code[-1].outputs]
    client = NotebookClient(notebook, kernel_name="python3", timeout=120)
    client.execute()
    for html in (*shown, *(output["data"]["text/html"] for output in code[-1].outputs)):
        assert html.startswith("<table><tr><th>choice</th><th>kept</th></tr><tr><td>layer1.0.conv2</td>")
