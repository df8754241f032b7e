"""The decisions of a discretisation as a picture: a row a place, a square a candidate, as numbers for SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foresight_ext.report.reading import Decided

SHADES = 8  # from 0, the lowest score of a decision, to its highest
SIDE = 16  # of a square, in pixels
_PITCH = SIDE + 2
_LETTER = 6.7  # how wide a letter of a monospaced font of 11 pixels is
_SLANT = 0.8  # how high a head of one letter's width stands
_LONGEST = 28  # letters of a name; the whole one is in the titles


@dataclass(frozen=True)
class Square:
    """A score; `shade` is None where it can't decide, `mark` is kept, dropped or empty."""

    x: int
    shade: int | None
    mark: str
    title: str


@dataclass(frozen=True)
class Row:
    """A place and what was decided there, `step` being its turn, counted from 1; 0: not yet."""

    y: int
    place: str
    step: int
    outcome: str
    squares: Sequence[Square]


@dataclass(frozen=True)
class HeatMap:
    """One discretisation. `heads` name the columns, where all rows have the same candidates."""

    number: int
    decisions: int
    width: int
    height: int
    left: int
    right: int
    heads: Sequence[tuple[int, int, str]]
    rows: Sequence[Row]


def heat_map(number: int, decided: Sequence[Decided], choices: Mapping[str, Sequence[str]]) -> HeatMap:
    """A discretisation's decisions in the order of the `choices`; as they come where those are unknown."""
    steps = {decision.place: (step, decision) for step, decision in enumerate(decided, start=1)}
    places = list(dict.fromkeys([*choices, *steps]))
    tables = {tuple(one.candidates) for one in decided if one.kept is not None and one.scores is not None}
    names = tables.pop() if len(tables) == 1 else ()
    left = math.ceil(max(len(short(place)) for place in places) * _LETTER) + 34
    columns = max((len(one.scores) for one in decided if one.scores is not None), default=0)
    top = math.ceil(max((len(short(name)) for name in names), default=0) * _LETTER * _SLANT) + 10
    right = left + columns * _PITCH + 6
    rows = []
    for index, place in enumerate(places):
        y = top + index * _PITCH
        if place not in steps:
            rows.append(Row(y, short(place), 0, "", ()))
            continue
        step, decision = steps[place]
        squares = [
            Square(left + column * _PITCH, shade, _mark(decision, name), _title(decision, name, score))
            for column, (name, score, shade) in enumerate(
                zip(decision.candidates, decision.scores or (), shades(decision.scores or ()))
            )
        ]
        rows.append(Row(y, short(place), step, short(_outcome(decision)), squares))
    width = right + math.ceil(max(len(row.outcome) for row in rows) * _LETTER) + 4
    slanted = max((left + i * _PITCH + len(short(n)) * _LETTER * 0.7 for i, n in enumerate(names)), default=0)
    heads = [(left + column * _PITCH + SIDE // 2, top - 4, short(name)) for column, name in enumerate(names)]
    height = top + len(places) * _PITCH
    return HeatMap(number, len(decided), max(width, math.ceil(slanted)), height, left, right, heads, rows)


def shades(scores: Sequence[float]) -> list[int | None]:
    """From 0 for the lowest finite score to SHADES for the highest; None for what is not finite."""
    finite = [score for score in scores if math.isfinite(score)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = high / 2 - low / 2 or 1.0  # halves: a difference may be beyond float64
    return [
        round(SHADES * ((score / 2 - low / 2) / scale)) if math.isfinite(score) else None for score in scores
    ]


def short(name: str) -> str:
    """A name of no more letters than there is room for."""
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _outcome(decision: Decided) -> str:
    if decision.kept is not None:
        return decision.kept
    return "drops " + ", ".join(name.removeprefix(decision.place) for name in decision.dropped)


def _mark(decision: Decided, name: str) -> str:
    if name == decision.kept:
        return "kept"
    return "dropped" if name in decision.dropped else ""


def _title(decision: Decided, name: str, score: float) -> str:
    mark = _mark(decision, name)
    return f"{name}: {score:.8g}{mark and f', {mark}'}"
