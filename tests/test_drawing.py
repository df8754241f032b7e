"""Tests of the drawings of cells and of the NAS-Bench-201 command line that makes them."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foresight_ext.drawing import (
    Cell,
    CellEdge,
    _layout,
    drawing_image,
    operation_color,
    save_drawing,
    text_drawing,
)
from foresight_ext.errors import UserError
from nasbench201.genotype import EDGES, OPERATIONS, format_genotype
from nasbench201.visualize import cell_of, main
from tests import PROJECT_ROOT

ARCH = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
ARCH_TEXT = """\
NAS-Bench-201 cell
  input
  1      <-- nor_conv_3x3 -- input
  2      <-- avg_pool_3x3 -- 1
  output <-- skip_connect -- input
         <-- nor_conv_3x3 -- 1
         <-- nor_conv_1x1 -- 2
"""
EMPTY = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
DARTS_NODES = ("c_{k-2}", "c_{k-1}", "0", "1", "2", "3", "c_{k}")


def darts_cell(*inputs: tuple[int, int]) -> Cell:
    """A cell whose nodes 0 to 3 have the two given inputs each, by position in DARTS_NODES."""
    edges = [
        CellEdge(DARTS_NODES[source], str(node), label)
        for node, sources in enumerate(inputs)
        for source, label in zip(sources, ("sep_conv_5x5", "dil_conv_3x3"), strict=True)
    ]
    edges += [CellEdge(str(node), "c_{k}", "") for node in range(4)]
    return Cell("normal cell", DARTS_NODES, tuple(edges))


@pytest.fixture(autouse=True)
def no_graphviz(monkeypatch, tmp_path):
    """An empty program folder as PATH and an empty current folder."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return programs


def fake_dot(programs: Path, code: str) -> None:
    """Put a `dot` made of a few lines of Python on PATH."""
    program = programs / "dot"
    program.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    program.chmod(0o755)


def test_text_of_a_nasbench201_cell():
    assert text_drawing(cell_of(ARCH)) == ARCH_TEXT


def test_text_without_labels_and_without_edges():
    cell = Cell("two", ("a", "b", "c"), (CellEdge("a", "b", "skip"), CellEdge("a", "c", "")))
    assert text_drawing(cell) == "two\n  a\n  b <-- skip -- a\n  c <---------- a\n"
    assert text_drawing(cell_of(EMPTY)) == "NAS-Bench-201 cell\n  input\n  1\n  2\n  output\n"


def test_cell_refuses_an_edge_that_leads_backwards():
    with pytest.raises(ValueError, match="backwards"):
        Cell("loop", ("a", "b"), (CellEdge("b", "a", "skip"),))


def test_svg_has_every_label_and_never_changes(tmp_path):
    path = save_drawing(cell_of(ARCH), tmp_path / "new" / "cell.svg")
    svg = path.read_text()
    for label in ("nor_conv_3x3", "avg_pool_3x3", "skip_connect", "nor_conv_1x1", "input", "output"):
        assert f">{label}<" in svg
    assert "none<" not in svg
    assert svg.count(">nor_conv_3x3<") == 2
    assert save_drawing(cell_of(ARCH), tmp_path / "again.svg").read_text() == svg
    # nothing temporary is left behind
    assert [file.name for file in path.parent.iterdir()] == ["cell.svg"]


def test_png_and_pdf(tmp_path):
    png = save_drawing(cell_of(ARCH), tmp_path / "cell.PNG").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    assert 800 < width < 3000
    assert 200 < height < 1500
    assert save_drawing(cell_of(ARCH), tmp_path / "cell.pdf").read_bytes().startswith(b"%PDF-")


def test_image_is_an_array_of_colours():
    image = drawing_image(cell_of(ARCH))
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert (image[0, 0] == 255).all()
    red, green, blue = (int(operation_color("skip_connect")[i : i + 2], 16) for i in (1, 3, 5))
    assert (image == (red, green, blue)).all(axis=2).sum() > 100
    assert (image == drawing_image(cell_of(ARCH))).all()


def test_drawing_needs_neither_pyplot_nor_torch():
    code = f"""
import sys
from foresight_ext.drawing import drawing_image
from nasbench201.visualize import cell_of
assert 'matplotlib' not in sys.modules
drawing_image(cell_of('{ARCH}'))
assert 'matplotlib.pyplot' not in sys.modules
assert 'torch' not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True)


def test_colours_tell_the_operations_apart():
    assert len({operation_color(operation) for operation in OPERATIONS}) == len(OPERATIONS)
    assert operation_color("sep_conv_3x3") != operation_color("sep_conv_5x5")


def test_bad_suffix():
    with pytest.raises(UserError, match=r"cell\.jpg.*\.svg, \.png, \.pdf"):
        save_drawing(cell_of(ARCH), Path("cell.jpg"))


def some_cells() -> list[Cell]:
    draw = random.Random(0)
    nasbench = [cell_of(format_genotype(draw.choices(OPERATIONS, k=len(EDGES)))) for _ in range(30)]
    # both inputs of a node may come from the same node
    darts = [darts_cell(*[draw.choices(range(node + 2), k=2) for node in range(4)]) for _ in range(30)]
    return [*nasbench, *darts, cell_of(EMPTY), darts_cell((0, 0), (2, 2), (3, 3), (4, 4))]


@pytest.mark.parametrize("cell", some_cells())
def test_nothing_overlaps(cell):
    nodes, edges = _layout(cell)
    bars = [*nodes.values(), *edges]
    for number, bar in enumerate(bars):
        for other in bars[:number]:
            if other.first <= bar.last and bar.first <= other.last:
                assert abs(bar.y - other.y) >= (bar.height + other.height) / 2


def test_lines_cross_only_where_they_must():
    """The complete cell can be drawn without crossings: the skipping edges go above or below."""
    nodes, edges = _layout(cell_of("|a~0|+|a~0|a~1|+|a~0|a~1|a~2|".replace("a", "skip_connect")))
    level = {(edge.first, edge.last): edge.y for edge in edges}
    # input->2 passes node 1 on one side, 1->output passes node 2 on the other, input->output is outermost
    assert (level[(1, 3)] - nodes["1"].y) * (level[(3, 5)] - nodes["2"].y) < 0
    assert level[(1, 5)] in (min(level.values()), max(level.values()))


def test_parallel_edges_are_both_drawn(tmp_path):
    cell = Cell("pair", ("a", "b"), (CellEdge("a", "b", "max_pool_3x3"), CellEdge("a", "b", "dil_conv_5x5")))
    _, (first, second) = _layout(cell)
    assert abs(first.y - second.y) > first.height
    svg = save_drawing(cell, tmp_path / "pair.svg").read_text()
    assert ">max_pool_3x3<" in svg
    assert ">dil_conv_5x5<" in svg
    assert text_drawing(cell) == "pair\n  a\n  b <-- max_pool_3x3 -- a\n    <-- dil_conv_5x5 -- a\n"


def test_graphviz_draws_if_it_is_there(no_graphviz, tmp_path):
    fake_dot(no_graphviz, "print(sys.argv[1:], sys.stdin.read())")
    drawn = save_drawing(darts_cell((0, 1), (0, 2), (1, 2), (2, 4)), tmp_path / "cell.svg").read_text()
    assert drawn.startswith("['-Tsvg'] digraph cell {")
    assert '"c_{k-2}" -> "0" [label="sep_conv_5x5", color="#3949ab", fontcolor="#3949ab"];' in drawn
    assert drawn.count("->") == 12
    assert save_drawing(cell_of(ARCH), tmp_path / "cell.png").read_text().startswith("['-Tpng', '-Gdpi=200']")


@pytest.mark.parametrize("code", ["print('half'); sys.exit(1)", "pass"], ids=["fails", "writes nothing"])
def test_built_in_layout_if_graphviz_fails(no_graphviz, tmp_path, code):
    expected = save_drawing(cell_of(ARCH), tmp_path / "without.svg").read_text()
    fake_dot(no_graphviz, code)
    assert save_drawing(cell_of(ARCH), tmp_path / "with.svg").read_text() == expected


def test_built_in_layout_if_graphviz_cannot_start(no_graphviz, tmp_path):
    (no_graphviz / "dot").write_text("#!/no/such/interpreter\n")
    (no_graphviz / "dot").chmod(0o755)
    assert "</svg>" in save_drawing(cell_of(ARCH), tmp_path / "cell.svg").read_text()


POOL = {"networks": [{"id": "0", "genotype": EMPTY}, {"id": "7", "genotype": ARCH}]}


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_command_line_draws_two_files_by_default(capsys):
    assert main([ARCH]) == 0
    assert capsys.readouterr().out == ARCH_TEXT + "wrote cell.svg\nwrote cell.png\n"
    assert "skip_connect" in Path("cell.svg").read_text()
    assert Path("cell.png").read_bytes().startswith(b"\x89PNG")


def test_command_line_reads_a_run_folder_a_result_file_and_a_pool(capsys):
    result = {"search_space": "nas-bench-201", "dataset": "cifar10", "networks": ARCH}
    write(Path("run/best_networks.json"), result)
    write(Path("pool.json"), POOL)
    for arguments in (["run"], ["run/best_networks.json"], ["pool.json", "--id", "7"]):
        assert main([*arguments, "--out", "x.svg", "--force"]) == 0
        assert capsys.readouterr().out == ARCH_TEXT + "wrote x.svg\n"
    assert not Path("cell.svg").exists()


def test_command_line_overwrites_only_by_force(capsys):
    Path("cell.png").write_text("precious")
    assert main([ARCH]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "error: 'cell.png' exists already: give --force to overwrite it, or another --out\n"
    assert Path("cell.png").read_text() == "precious"
    assert not Path("cell.svg").exists()
    assert main([ARCH, "--force"]) == 0
    assert Path("cell.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: ARCH|FOLDER|FILE.json"),
        ([ARCH, "--forc"], "unrecognized arguments: --forc"),
        ([ARCH, "--out"], "argument --out needs a value: the file to draw into"),
        ([ARCH, "--id", "3"], "--id 3: an architecture string is one network; leave the option out"),
        ([ARCH, "--out", "a.gif"], "--out 'a.gif': the suffix must be one of .svg, .png, .pdf"),
        ([ARCH, "--out", "empty.svg"], "--out 'empty.svg' is a folder: name a file"),
        (["|none~0|"], "architecture '|none~0|' does not parse: it must look like"),
        (["|no\nne~0|"], "architecture '|no ne~0|' does not parse: it must look like"),
        ([EMPTY.replace("none~2", "what~2")], "has the unknown operation 'what' on edge 3<-2"),
        (["nowhere"], "'nowhere' is neither an architecture string nor a run folder nor a JSON file"),
        (["empty.svg"], "folder 'empty.svg' has no best_networks.json: give the folder of a finished run"),
        (["broken.json"], "'broken.json' is not valid JSON: Expecting property name"),
        (["list.json"], "'list.json' names no network: it must be a JSON object with a key 'networks'"),
        (["none.json"], "'none.json' names no network"),
        (["darts.json"], "'darts.json' is of the search space 'darts': allowed here: nas-bench-201"),
        (["one.json", "--id", "0"], "--id 0: 'one.json' holds a single network; leave the option out"),
        (["pool.json"], "'pool.json' holds a list of networks: pick one by --id out of 0, 7"),
        (["pool.json", "--id", "5"], "--id 5: no such network in 'pool.json': choose from 0, 7"),
        (["bare.json", "--id", "0"], "'bare.json' has a network without 'id' and 'genotype'"),
        (["large.json"], "by --id out of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, "),
        (["large.json"], ", 18, 19, ... (50 in all)"),
        ([ARCH, "--out", "one.json/a.svg"], "one.json"),
    ],
)
def test_command_line_errors(capsys, arguments, message):
    Path("empty.svg").mkdir()
    Path("broken.json").write_text("{")
    write(Path("list.json"), [ARCH])
    write(Path("none.json"), {"networks": []})
    write(Path("darts.json"), {"search_space": "darts", "networks": {"normal": []}})
    write(Path("one.json"), {"networks": ARCH})
    write(Path("pool.json"), POOL)
    write(Path("bare.json"), {"networks": [ARCH]})
    write(Path("large.json"), {"networks": [{"id": str(i), "genotype": ARCH} for i in range(50)]})
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert error.endswith("\n")
    assert not list(Path().glob("cell.*"))


def test_module_runs_as_a_program():
    command = [sys.executable, "-m", "nasbench201.visualize", "nowhere"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: 'nowhere' is neither an architecture string")
    assert done.stderr.count("\n") == 1
