"""What an atlas says: how operation scores go together with what operations are worth."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from foresight_ext.measures.proxy import Proxy
from foresight_ext.runs.journal import json_score
from foresight_ext.search.atlas import Atlas, Rows, Scored, Step
from foresight_ext.search.ranking import (
    correlation_matrix,
    mean_rows,
    picked,
    picked_after,
    table_correlation,
    worth,
)
from foresight_ext.supernets.supernet import Choice

TITLES = {"removal": "removal", "one_hot": "one-hot"}

# rank and error (percent) by data set
Standing = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Reference:
    """What a benchmark knows: tables of what candidates are worth by name, and how an architecture stands.

    `meaning` says what those are. An architecture is given by the candidates of its choices. Without a
    benchmark there is neither.
    """

    genotype: Callable[[Sequence[int]], str]
    worth: Mapping[str, Rows] = field(default_factory=dict)
    standing: Callable[[Sequence[int]], Standing] = lambda candidates: {}
    meaning: str = ""


@dataclass(frozen=True)
class Method:
    """A proxy's scores of one kind (a field of atlas.Scored), by seed."""

    proxy: str
    kind: str
    steps: Mapping[int, Sequence[Step]]

    @property
    def title(self) -> str:
        return f"{self.proxy} {TITLES[self.kind]}"

    def rows(self, seed: int, decision: int) -> Rows:
        """The scores at a decision."""
        rows: Rows = getattr(self.steps[seed][decision].scored, self.kind)
        return rows

    @property
    def mean(self) -> Rows:
        """The scores of all choices at once: the mean over the seeds."""
        return mean_rows([self.rows(seed, 0) for seed in self.steps])

    @property
    def worth(self) -> Rows:
        """What candidates are worth by the mean."""
        return worth(self.mean, self.kind)


def methods(atlas: Atlas, proxies: Iterable[Proxy]) -> list[Method]:
    """What an atlas holds of these proxies."""
    found = []
    for proxy in proxies:
        steps = {seed: one for seed in atlas.seeds if (one := atlas.steps(proxy, seed))}
        if steps:
            found += [Method(proxy.name, kind, steps) for kind in Scored._fields]
    return found


def contents(found: Sequence[Method], choices: Sequence[Choice], reference: Reference) -> dict[str, Any]:
    """All that is told, for a JSON file."""
    tables = {**reference.worth, **{one.title: one.worth for one in found}}
    return {
        "choices": {choice.name: list(choice.candidates) for choice in choices},
        "worth": {name: _named(rows, choices) for name, rows in reference.worth.items()},
        "methods": {one.title: _content(one, choices, reference) for one in found},
        "matrix": {
            "names": list(tables),
            "spearman": (correlation_matrix(list(tables.values())).round(4) + 0.0).tolist(),
        },
    }


def _content(method: Method, choices: Sequence[Choice], reference: Reference) -> dict[str, Any]:
    decisions = range(max(map(len, method.steps.values())))
    return {
        "proxy": method.proxy,
        "kind": method.kind,
        "seeds": list(method.steps),
        "scores": _named(method.mean, choices),
        "once": {
            "spearman": _correlations(method.worth, reference),
            **_told(picked(method.mean, method.kind), reference),
        },
        "decisions": [_decision(method, number, reference) for number in decisions],
    }


def _decision(method: Method, number: int, reference: Reference) -> dict[str, Any]:
    """A decision: of each seed that came so far, and the means over these."""
    seeds = [seed for seed, steps in method.steps.items() if number < len(steps)]
    each = []
    for seed in seeds:
        rows = worth(method.rows(seed, number), method.kind)
        told = _told(picked_after(method.steps[seed][number], method.kind), reference)
        each.append({"seed": seed, "spearman": _correlations(rows, reference), **told})
    standings = [one["standing"] for one in each if one["standing"]]
    return {
        "spearman": _means([one["spearman"] for one in each]),
        "standing": {
            dataset: _means([one[dataset] for one in standings]) for dataset in next(iter(standings), {})
        },
        "seeds": each,
    }


def _correlations(rows: Rows, reference: Reference) -> dict[str, float]:
    return {name: _rounded(table_correlation(rows, other)) for name, other in reference.worth.items()}


def _rounded(number: float) -> float:
    return round(number, 4) + 0.0  # no minus before a zero


def _told(candidates: Sequence[int] | None, reference: Reference) -> dict[str, Any]:
    if candidates is None:
        return {"architecture": None, "standing": {}}
    return {"architecture": reference.genotype(candidates), "standing": reference.standing(candidates)}


def _means(columns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: _rounded(sum(one[name] for one in columns) / len(columns)) for name in columns[0]}


def _named(rows: Rows, choices: Sequence[Choice]) -> dict[str, list[float | str]]:
    return {choices[number].name: [json_score(one) for one in row] for number, row in rows.items()}
