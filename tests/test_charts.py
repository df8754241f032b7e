"""Charts: what they show, and that equal ones are equal files."""

import re

import pytest

from foresight_ext.charts import heat_map, line_panels
from foresight_ext.drawing import save_figure


def texts(path):
    """What is written in an SVG."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def test_a_heat_map_tells_every_number(tmp_path):
    values = [[1, -0.256], [0.004, -1]]
    path = tmp_path / "map.svg"
    save_figure(lambda: heat_map("A title", ["one", "two"], ["left", "right"], values), path)
    assert sorted(texts(path)) == sorted(
        ["A title", "one", "two", "left", "right", "1.00", "-.26", ".00", "-1.00"]
    )
    first = path.read_bytes()
    save_figure(lambda: heat_map("A title", ["one", "two"], ["left", "right"], values), path)
    assert path.read_bytes() == first


def test_a_heat_map_leaves_out_what_is_not_known_and_numbers_too_small_to_read(tmp_path):
    path = tmp_path / "map.svg"
    save_figure(lambda: heat_map("A", ["one"], ["left", "right"], [[None, 0.5]]), path)
    assert sorted(texts(path)) == [".50", "A", "left", "one", "right"]
    names = [f"name {number}" for number in range(41)]
    save_figure(lambda: heat_map("A", names, names, [[0.5] * 41] * 41), path)
    assert sorted(texts(path)) == sorted(["A", *names, *names])


def test_lines_keep_their_looks_in_every_panel():
    names = [f"proxy{number}" for number in range(20)]
    panels = {
        "all": {name: [number / 20, None, 0] for number, name in enumerate(names)},
        "some": {name: [0.5, 1] for name in names[::-3]},
    }
    figure = line_panels("A title", "decisions", "Spearman", panels)
    first, second = ({line.get_label(): line for line in axes.lines[1:]} for axes in figure.axes)
    assert list(first) == names

    def look(line):
        return line.get_color(), line.get_marker(), line.get_linestyle()

    assert len({look(line) for line in first.values()}) == len(names)
    assert all(look(line) == look(first[name]) for name, line in second.items())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names
    assert list(first["proxy4"].get_ydata()) == pytest.approx([0.2, float("nan"), 0], nan_ok=True)
