"""Charts of results as matplotlib figures: a heat map of numbers, and lines in panels."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # slow to import
    from matplotlib.figure import Figure

_SIZE = 8.0  # of text, in points
_LETTER = 0.602 * _SIZE / 72  # how wide a letter of drawing's font is, in inches
_CELL, _SMALL_CELL = 0.36, 0.14  # sides of a heat map's cells with and without numbers, in inches
_LINE = 0.17  # height of a line of text, in inches
_MOST_NUMBERS = 1600  # in a heat map; those of more cells are too small to read

# Okabe and Ito's colours that are told apart by people who see fewer (without the yellow, faint on white)
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = "osD^vPX*<>hd"
_DASHES = ("-", "--", ":", "-.")


def heat_map(
    title: str, names: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]]
) -> "Figure":
    """Correlations, a row for each of `names`, as numbers on colours from blue (-1) over white to red (1).

    None leaves a cell empty. Above 1,600 cells there are colours alone.
    """
    from matplotlib.figure import Figure

    told = values if len(names) * len(columns) <= _MOST_NUMBERS else []
    cell = _CELL if told else _SMALL_CELL
    across, down = cell * len(columns), cell * len(names)
    left, top = _LETTER * max(map(len, names)) + 0.15, _LETTER * max(map(len, columns)) + 0.45
    width, height = left + across + 0.15, top + down + 0.15
    width = max(width, _LETTER * 1.25 * len(title) + 0.3)
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((left / width, 0.15 / height, across / width, down / height))
    filled = [[float("nan") if value is None else value for value in line] for line in values]
    axes.imshow(filled, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for row, line in enumerate(told):
        for column, value in enumerate(line):
            if value is None:
                continue
            ink = "white" if abs(value) > 0.7 else "black"
            text = f"{value:.2f}".replace("0.", ".", 1)
            axes.text(column, row, text, ha="center", va="center", color=ink, size=0.8 * _SIZE)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(columns)), columns, rotation=90, size=_SIZE)
    axes.set_yticks(range(len(names)), names, size=_SIZE)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.text(0.15 / width, 1 - 0.12 / height, title, size=1.25 * _SIZE, va="top")
    return figure


def line_panels(
    title: str, x_label: str, y_label: str, panels: Mapping[str, Mapping[str, Sequence[float | None]]]
) -> "Figure":
    """A panel for each title with its lines by name, over 0, 1, 2, ...; None leaves a gap.

    A name looks the same in all panels, and differs from others in colour, marker and dashes together.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    legend = _LETTER * max(map(len, names)) + 0.9
    panel, above, below = 3.6, 0.7, 0.5
    width = 0.65 + len(panels) * (panel + 0.25) + legend
    height = above + below + max(3.2, _LINE * len(names))
    figure = Figure(figsize=(width, height), facecolor="white")
    inside = (height - above - below) / height
    axes = None
    for number, (heading, lines) in enumerate(panels.items()):
        place = (0.65 + number * (panel + 0.25)) / width, below / height, panel / width, inside
        axes = figure.add_axes(place, sharey=axes)
        axes.axhline(0, color="#9e9e9e", linewidth=0.8, zorder=0)
        for name, line in lines.items():
            look = names.index(name)
            axes.plot(
                [float("nan") if one is None else one for one in line],
                label=name,
                color=_COLORS[look % len(_COLORS)],
                marker=_MARKERS[look % len(_MARKERS)],
                linestyle=_DASHES[look // len(_COLORS) % len(_DASHES)],
                linewidth=1.2,
                markersize=4.5,
            )
        axes.set_xticks(range(max(map(len, lines.values()))))
        axes.tick_params(labelsize=_SIZE, labelleft=number == 0)
        axes.set_title(heading, size=_SIZE, loc="left")
        axes.set_xlabel(x_label, size=_SIZE)
        if number == 0:
            axes.set_ylabel(y_label, size=_SIZE)
        axes.grid(axis="y", color="#eeeeee", zorder=0)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    assert axes is not None  # there is a panel
    handles = {}
    for one in figure.axes:
        handles.update(dict(zip(*one.get_legend_handles_labels()[::-1])))
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="upper left",
        bbox_to_anchor=((width - legend) / width, 1 - above / height),
        fontsize=_SIZE,
        frameon=False,
        handlelength=3,
    )
    figure.text(0.15 / width, 1 - 0.12 / height, title, size=1.25 * _SIZE, va="top")
    return figure
