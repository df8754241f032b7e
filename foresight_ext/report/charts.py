"""Charts of a report as SVG by matplotlib: curves of a training, a network among all of a benchmark."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from foresight_ext.drawing import steady_style

if TYPE_CHECKING:  # slow to import, and many a report needs no chart
    from matplotlib.axes import Axes

_INK, _TRAIN, _JUDGED, _ALL, _HERE = "#263238", "#90a4ae", "#1565c0", "#b0bec5", "#c2410c"
_BINS = 60


def curves(epochs: Sequence[Mapping[str, float]], judged: str) -> list[bytes]:
    """Loss, and accuracy, of each epoch (entries of a training's journal): two charts.

    `judged` names the images that judge an epoch, as its entries do: held_out or test.
    """
    from matplotlib.ticker import MaxNLocator

    charts = []
    x = [entry["epoch"] for entry in epochs]
    for what, label in (("loss", "loss"), ("accuracy", "accuracy (%)")):
        with _chart(f"curves {what}", "epoch", label) as (axes, charted):
            for images, color in (("train", _TRAIN), (judged, _JUDGED)):
                y = [entry.get(f"{images}_{what}", math.nan) for entry in epochs]
                name = "training" if images == "train" else images.replace("_", "-")
                marker = "o" if len(epochs) <= 30 else ""
                axes.plot(x, y, color=color, marker=marker, markersize=3, linewidth=1.5, label=name)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend(frameon=False, fontsize=8)
        charts += charted
    return charts


def distribution(name: str, known: Sequence[float], here: float) -> bytes:
    """Where a network's test accuracy stands among all of a benchmark (percent) on the data set of that name.

    The lowest twentieth of the architectures, which are far below the others, is left out of sight.
    """
    import numpy as np

    with _chart(f"distribution {name}", "test accuracy (%)", "architectures") as (axes, charted):
        values = np.asarray(known)
        low = min(float(np.percentile(values, 5)), here)
        counts, edges = np.histogram(values, _BINS, range=(low, max(float(values.max()), here) + 0.01))
        axes.stairs(counts, edges, fill=True, color=_ALL)
        axes.axvline(here, color=_HERE, linewidth=1.8)
        axes.set_title(name, fontsize=9, color=_INK, parse_math=False)
    return charted[0]


@contextmanager
def _chart(salt: str, below: str, beside: str) -> "Iterator[tuple[Axes, list[bytes]]]":
    """Axes to draw into, and a list that holds their SVG when the block has ended."""
    with steady_style(salt):
        from matplotlib.figure import Figure

        figure, charted = Figure(figsize=(3.3, 2.4), layout="constrained"), list[bytes]()
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, colors=_INK)
        axes.set_xlabel(below, fontsize=8, color=_INK)
        axes.set_ylabel(beside, fontsize=8, color=_INK)
        yield axes, charted
        stream = io.BytesIO()
        # without the time of day the same numbers give the same bytes
        figure.savefig(stream, format="svg", metadata={"Date": None}, facecolor="white")
        charted.append(stream.getvalue())
