"""The table of a pool's networks: how often each was found, its scores, what a benchmark says of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foresight_ext.report.reading import Run

MOST = 50  # networks of a table
_WIDTH = 140  # of a strip, in pixels


@dataclass(frozen=True)
class Strip:
    """The scores of a network's minibatches on a line: an SVG path of ticks, and where their mean is."""

    ticks: str
    mean: float
    title: str


@dataclass(frozen=True)
class Network:
    """A row: `scores` are one for each head of the table."""

    genotype: str
    best: bool
    found: int
    scores: Sequence[str]
    strip: Strip | None
    accuracies: Sequence[str]


@dataclass(frozen=True)
class Networks:
    """The table; `more` networks are not shown. `heads` name the scores, `datasets` the accuracies."""

    heads: Sequence[str]
    datasets: Sequence[str]
    rows: Sequence[Network]
    more: int
    strips: bool
    width: int = _WIDTH


def networks(run: Run, known: Mapping[str, Mapping[str, float]]) -> Networks:
    """The pool, the best first as the run's report tells it; `known` are accuracies by data set."""
    parts = list(dict.fromkeys(part for rows in run.rows.values() for row in rows for part in row))
    sums = {one: {part: _sum(rows, part) for part in parts} for one, rows in run.rows.items()}
    totals = dict(run.summary.totals)
    if not totals and len(parts) == 1:  # what a run that is not finished has so far
        totals = {one: row[parts[0]] for one, row in sums.items()}
    several = len(parts) > 1
    ranked = sorted(run.pool, key=lambda one: _order(totals.get(one, math.nan), one == run.best))
    finite = [score for rows in run.rows.values() for row in rows for score in row.values()]
    finite = [score for score in finite if math.isfinite(score)]
    strips = bool(finite) and not several
    datasets = [name for name, values in known.items() if any(one in values for one in run.pool)]
    table = []
    for genotype in ranked[:MOST]:
        scores = [_number(totals[genotype]) if genotype in totals else "–"] if totals else []
        scores += [_number(sums[genotype][part]) if genotype in sums else "–" for part in parts * several]
        strip = None
        if strips and genotype in run.rows:
            strip = _strip([row[parts[0]] for row in run.rows[genotype]], min(finite), max(finite))
        accuracies = [f"{known[name][genotype]:.2f}" if genotype in known[name] else "–" for name in datasets]
        table.append(Network(genotype, genotype == run.best, run.pool[genotype], scores, strip, accuracies))
    heads = (["score"] if totals else []) + parts * several
    return Networks(heads, datasets, table, len(ranked) - len(table), strips)


def _order(total: float, best: bool) -> tuple[bool, float]:
    """The winner first, then by falling scores; what is never chosen last."""
    return not best, -total if total < math.inf else math.inf


def _sum(rows: Sequence[Mapping[str, float]], part: str) -> float:
    """The sum over the minibatches, as the validation takes it."""
    scores = [row.get(part, math.nan) for row in rows]
    try:
        return math.fsum(scores)
    except (OverflowError, ValueError):
        return sum(scores)


def _number(score: float) -> str:
    return f"{score:.4f}" if abs(score) < 1e9 or not math.isfinite(score) else f"{score:.6g}"


def _strip(scores: Sequence[float], low: float, high: float) -> Strip | None:
    """Where some scores lie between the lowest and the highest of all networks."""
    finite = [score for score in scores if math.isfinite(score)]
    if not finite:
        return None
    scale = (high / 2 - low / 2) or 1.0  # halves: a difference may be beyond float64

    def place(score: float) -> float:
        return 4 + (_WIDTH - 8) * ((score / 2 - low / 2) / scale)

    mean = _sum([{"": score / len(finite)} for score in finite], "")
    ticks = "".join(f"M{x} 3v10" for x in sorted({round(place(score)) for score in finite}))
    title = f"mean {mean:.6g}, from {min(finite):.6g} to {max(finite):.6g} in {len(scores)} minibatches"
    return Strip(ticks, round(place(mean), 1), title)
