"""Drawings of cells (nodes joined by labelled edges) as text, as SVG, PNG or PDF files and as arrays."""

import json
import logging
import math
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foresight_ext.errors import UserError
from foresight_ext.files import replacing

if TYPE_CHECKING:  # both are slow to import, and a text drawing needs neither
    import numpy as np
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")

# the first word that occurs in an operation's name decides its colour
_COLORS = (
    ("skip", "#2e7d32"),
    ("max_pool", "#ad6800"),
    ("pool", "#c2410c"),
    ("dil", "#8e24aa"),
    ("1x1", "#00838f"),
    ("5x5", "#3949ab"),
    ("7x7", "#37474f"),
    ("conv", "#1565c0"),
)
_OTHER_COLOR = "#616161"
_NODE_FILL, _NODE_EDGE = "#eceff1", "#455a64"

# lengths in points (1/72 inch)
_MARGIN = 14.0
_FONT_SIZE = 9.0
_LETTER = 0.602 * _FONT_SIZE  # how wide every letter of DejaVu Sans Mono is
_NODE_HEIGHT, _LABEL_HEIGHT, _LINE_HEIGHT = 26.0, 16.0, 4.0
_CLEARANCE = 8.0  # between two bars
_PORT = 9.0  # between two lines that end at the same side of a node
_ARROW = 7.0  # straight piece at the end of a line


@dataclass(frozen=True)
class CellEdge:
    """An edge; `label` names its operation and may be empty."""

    source: str
    target: str
    label: str


@dataclass(frozen=True)
class Cell:
    """A cell: its nodes in topological order, inputs first and output last, and its edges.

    ValueError if an edge does not lead from a node to a later one.
    """

    name: str
    nodes: tuple[str, ...]
    edges: tuple[CellEdge, ...]

    def __post_init__(self) -> None:
        for edge in self.edges:
            if self.nodes.index(edge.source) >= self.nodes.index(edge.target):
                raise ValueError(f"{edge} leads backwards: the nodes are {self.nodes}")


def operation_color(label: str) -> str:
    """The colour (#rrggbb) of an operation, the same in every drawing."""
    return next((color for word, color in _COLORS if word in label), _OTHER_COLOR)


def text_drawing(cell: Cell) -> str:
    """The cell in plain ASCII for a terminal: per node one line for each edge that leads to it."""
    node_width = max(map(len, cell.nodes))
    label_width = max((len(edge.label) for edge in cell.edges), default=0)
    lines = [cell.name]
    for node in cell.nodes:
        arrows = [
            f" <--{f' {edge.label} ' if edge.label else '':-<{label_width + 2}}-- {edge.source}"
            for edge in cell.edges
            if edge.target == node
        ]
        for number, arrow in enumerate(arrows or [""]):
            lines.append(f"  {'' if number else node:<{node_width}}{arrow}".rstrip())
    return "\n".join(lines) + "\n"


def save_drawing(cell: Cell, path: Path) -> Path:
    """Draw the cell into an SVG, PNG or PDF file, by its suffix, and return the path.

    Graphviz lays it out where its program `dot` is installed and works, else the built-in layout does.
    UserError on any other suffix.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise UserError(f"cannot draw into '{path}': its suffix must be one of {', '.join(SUFFIXES)}")
    drawn = _run_dot(cell, kind[1:])
    if drawn is None:
        return save_figure(lambda: _figure(cell), path)
    with replacing(path) as temporary:
        temporary.write_bytes(drawn)
    return path


def save_figure(make: Callable[[], "Figure"], path: Path) -> Path:
    """Write the figure that `make` draws into an SVG, PNG or PDF file, by its suffix, and return the path.

    The same figure gives the same file, whatever the user's settings of matplotlib.
    """
    kind = path.suffix.lower()
    # without the time of day
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}[kind]
    with replacing(path) as temporary, steady_style():
        make().savefig(temporary, format=kind[1:], dpi=200, metadata=metadata)
    return path


def drawing_image(cell: Cell) -> "np.ndarray":
    """The drawing by the built-in layout as an RGB array, uint8 (height, width, 3), for TensorBoard."""
    import numpy as np

    with steady_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(_figure(cell))
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


@contextmanager
def steady_style(salt: str = "cell") -> Iterator[None]:
    """Settings of matplotlib that a user's matplotlibrc must not change; the salt makes SVG ids repeat."""
    import matplotlib

    # what it says of fonts is no news of a run
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)
    settings = matplotlib.rc_context(
        {
            "font.family": "monospace",
            "font.monospace": ["DejaVu Sans Mono"],
            "svg.fonttype": "none",
            "svg.hashsalt": salt,
        }
    )
    with settings:
        yield


def _run_dot(cell: Cell, kind: str) -> bytes | None:
    """The file that Graphviz makes of the cell; None if there is no Graphviz or it fails."""
    program = shutil.which("dot")
    if program is None:
        return None
    command = [program, f"-T{kind}"] + (["-Gdpi=200"] if kind == "png" else [])
    source = _dot_source(cell).encode()
    try:
        done = subprocess.run(command, input=source, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout or None


def _dot_source(cell: Cell) -> str:
    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)

    lines = [
        "digraph cell {",
        f'rankdir=LR; label={quoted(cell.name)}; labelloc=t; fontname="Helvetica";',
        'node [shape=box, style="rounded,filled", fontname="Helvetica"];',
        f'node [fillcolor="{_NODE_FILL}", color="{_NODE_EDGE}"];',
        'edge [fontname="Helvetica", fontsize=11];',
    ]
    lines += [f"{quoted(node)};" for node in cell.nodes]
    for edge in cell.edges:
        color = operation_color(edge.label)
        lines.append(
            f"{quoted(edge.source)} -> {quoted(edge.target)} "
            f'[label={quoted(edge.label)}, color="{color}", fontcolor="{color}"];'
        )
    return "\n".join([*lines, "}"]) + "\n"


# The built-in layout works with bars. Nodes stand in the even columns, left to right in topological order.
# An edge is a flat bar over the columns between its two nodes, with its label in an odd column. No two bars
# share a place, and lines bend between the columns only, so nothing can overlap.


@dataclass(eq=False)
class _Bar:
    """A node or an edge. At its height y (down is plus) it has its columns, first to last, for itself."""

    first: int
    last: int
    height: float
    ends: tuple["_Bar", ...] = ()  # the source and the target, if this is an edge
    y: float = 0.0


def _layout(cell: Cell) -> tuple[dict[str, _Bar], list[_Bar]]:
    """The bars of the nodes and those of the edges, put in place."""
    column: dict[str, int] = {}
    for node in cell.nodes:
        column[node] = max((column[edge.source] + 2 for edge in cell.edges if edge.target == node), default=0)
    # the output stands right of all others even if no edge leads to it
    *others, output = cell.nodes
    column[output] = max((column[node] + 2 for node in others), default=0)

    nodes = {}
    sources, targets = [edge.source for edge in cell.edges], [edge.target for edge in cell.edges]
    for node in cell.nodes:
        lines = max(sources.count(node), targets.count(node))
        nodes[node] = _Bar(column[node], column[node], max(_NODE_HEIGHT, _PORT * (lines + 1)))
    edges = []
    for edge in cell.edges:
        height = _LABEL_HEIGHT if edge.label else _LINE_HEIGHT
        ends = (nodes[edge.source], nodes[edge.target])
        edges.append(_Bar(column[edge.source] + 1, column[edge.target] - 1, height, ends))
    _place(_best_order([*nodes.values(), *edges]))
    return nodes, edges


def _best_order(bars: list[_Bar]) -> list[_Bar]:
    """The bars from top to bottom such that few lines cross.

    Bars are moved one by one to where they do best, until no move helps any more.
    """
    # in the gap right of each column, each line leads from one bar to another or goes on in its own
    gaps: list[list[tuple[_Bar, _Bar]]] = [[] for _ in range(max(bar.last for bar in bars))]
    for edge in bars:
        if edge.ends:
            path = [edge.ends[0], *[edge] * (edge.last - edge.first + 1), edge.ends[1]]
            for column, step in enumerate(zip(path, path[1:], strict=False), start=edge.first - 1):
                gaps[column].append(step)

    def cost(order: list[_Bar]) -> tuple[int, int]:
        rank = {bar: position for position, bar in enumerate(order)}
        crossings = bends = 0
        for lines in gaps:
            steps = [(rank[left], rank[right]) for left, right in lines]
            bends += sum(abs(left - right) for left, right in steps)
            for number, (left, right) in enumerate(steps):
                crossings += sum((left - a) * (right - b) < 0 for a, b in steps[:number])
        return crossings, bends

    best, best_cost, improved = bars, cost(bars), True
    while improved:
        improved = False
        for bar in bars:
            others = [other for other in best if other is not bar]
            for position in range(len(bars)):
                trial = [*others[:position], bar, *others[position:]]
                trial_cost = cost(trial)
                if trial_cost < best_cost:
                    best, best_cost, improved = trial, trial_cost, True
    return best


def _place(order: list[_Bar]) -> None:
    """Set each bar's y: as near to the bars it is joined to as those above and below it allow."""
    joined = {bar: [*bar.ends, *(edge for edge in order if bar in edge.ends)] for bar in order}

    def limits(position: int) -> tuple[float, float]:
        """The least and the greatest y that the bars above and below allow."""
        bar, low, high = order[position], -math.inf, math.inf
        for number, other in enumerate(order):
            if other is not bar and other.first <= bar.last and bar.first <= other.last:
                distance = (bar.height + other.height) / 2 + _CLEARANCE
                if number < position:
                    low = max(low, other.y + distance)
                else:
                    high = min(high, other.y - distance)
        return low, high

    for position, bar in enumerate(order):
        bar.y = max(0.0, limits(position)[0])
    for sweep in range(100):  # far more than it takes to come to rest
        for position in range(len(order)) if sweep % 2 else reversed(range(len(order))):
            near = [bar.y for bar in joined[order[position]]]
            if near:
                low, high = limits(position)
                order[position].y = min(max(sum(near) / len(near), low), high)


def _ports(edges: list[_Bar], side: int) -> list[float]:
    """The y at which each edge meets its source (side 0) or target (1): spread evenly, none crossing."""
    ports = []
    for edge in edges:
        node = edge.ends[side]
        together = sorted((other for other in edges if other.ends[side] is node), key=lambda other: other.y)
        ports.append(node.y + _PORT * (together.index(edge) - (len(together) - 1) / 2))
    return ports


def _figure(cell: Cell) -> "Figure":
    """The cell by the built-in layout, as a matplotlib figure whose data units are points."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path as Curve

    nodes, edges = _layout(cell)
    bars = [*nodes.values(), *edges]
    # name, bar, its ports and the column of its label
    drawn = [
        (edge.label, bar, start, end, bar.first + (bar.last - bar.first + 2) // 4 * 2)
        for edge, bar, start, end in zip(cell.edges, edges, _ports(edges, 0), _ports(edges, 1), strict=True)
    ]
    columns = 1 + max(bar.last for bar in bars)
    widths = [0.0] * columns
    gaps = [24.0] * columns  # right of each column
    for node, bar in nodes.items():
        widths[bar.first] = max(widths[bar.first], len(node) * _LETTER + 18)
    for label, bar, start, end, column in drawn:
        widths[column] = max(widths[column], len(label) * _LETTER + 10 if label else 0)
        # steep lines get more room
        gaps[bar.first - 1] = max(gaps[bar.first - 1], 14 + 0.4 * abs(bar.y - start))
        gaps[bar.last] = max(gaps[bar.last], 14 + _ARROW + 0.4 * abs(bar.y - end))
    lefts = [_MARGIN + sum(widths[:column]) + sum(gaps[:column]) for column in range(columns)]
    rights = [left + width for left, width in zip(lefts, widths, strict=True)]

    top = min(bar.y - bar.height / 2 for bar in bars) - 2.5 * _MARGIN
    bottom = max(bar.y + bar.height / 2 for bar in bars) + _MARGIN
    right = max(rights[-1], _MARGIN + len(cell.name) * _LETTER * 1.2) + _MARGIN
    figure = Figure(figsize=(right / 72, (bottom - top) / 72), dpi=100, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, right), ylim=(bottom, top))
    axes.set_axis_off()
    text: dict[str, Any] = {"va": "center_baseline", "parse_math": False}
    axes.text(_MARGIN, top + _MARGIN, cell.name, size=1.2 * _FONT_SIZE, **text)

    def draw_box(column: int, bar: _Bar, name: str, rounding: float, fill: str, edge: str, ink: str) -> None:
        left, width, low = lefts[column], widths[column], bar.y - bar.height / 2
        style = f"round,pad=0,rounding_size={rounding}"
        axes.add_patch(FancyBboxPatch((left, low), width, bar.height, style, fc=fill, ec=edge, zorder=2))
        axes.text(left + width / 2, bar.y, name, color=ink, size=_FONT_SIZE, ha="center", zorder=3, **text)

    for node, bar in nodes.items():
        draw_box(bar.first, bar, node, 6, _NODE_FILL, _NODE_EDGE, "black")
    for label, bar, start, end, column in drawn:
        color = operation_color(label)
        points = [(rights[bar.first - 1], start), (lefts[bar.first], bar.y)]
        points += [(rights[bar.last], bar.y), (lefts[bar.last + 1] - _ARROW, end)]
        if bar.first == bar.last and not widths[column]:  # nothing to keep clear of: one bend, not two
            del points[1:3]
        curve, codes = [points[0]], [Curve.MOVETO]
        for (x, y), (to_x, to_y) in zip(points, points[1:], strict=False):
            curve += [((x + to_x) / 2, y), ((x + to_x) / 2, to_y), (to_x, to_y)]
            codes += [Curve.CURVE4] * 3
        path = Curve([*curve, (lefts[bar.last + 1], end)], [*codes, Curve.LINETO])
        arrow: dict[str, Any] = {
            "arrowstyle": "-|>",
            "mutation_scale": 9,
            "shrinkA": 0,
            "shrinkB": 0,
            "linewidth": 1.3,
        }
        axes.add_patch(FancyArrowPatch(path=path, color=color, zorder=1, **arrow))
        if label:
            draw_box(column, bar, label, 3, "white", color, color)
    return figure
