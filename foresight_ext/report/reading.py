"""What a run folder says, as far as the run has come. Nothing is written, and no space is known."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from foresight_ext.errors import UserError
from foresight_ext.report.tables import Table, tables
from foresight_ext.runs.config import CONFIG, read_config
from foresight_ext.runs.folder import CHOICES
from foresight_ext.runs.journal import Journal
from foresight_ext.runs.results import BEST, POOL, RESULT, SUMMARY, TRAINING, read_own, read_result

# journals of scores, which may always grow, and what they hold
SCORES = {"scores": "scores of networks", "op_scores": "scores of operations"}
_LARGE = 150_000  # bytes of a picture: the page stays below a megabyte
_REMEDY = "no report can be made of it; the run's own command says what to do"


@dataclass(frozen=True)
class Decided:
    """A decision: the place (an edge, a layer, a node), what was scored there, and what came of it.

    `scores` are those of the network without each of the `candidates`; None where that was drawn, not scored.
    A choice keeps one of the candidates; of a node they are the edges, and some are `dropped`.
    """

    place: str
    candidates: Sequence[str]
    scores: Sequence[float] | None
    kept: str | None
    dropped: Sequence[str]


@dataclass(frozen=True)
class Stage:
    """How far a stage is, in words, and how long it took in seconds."""

    name: str
    done: str
    finished: bool
    seconds: float


@dataclass(frozen=True)
class Training:
    """A training: its settings, its epochs (the journal's entries), its result where it is finished."""

    settings: Mapping[str, Any]
    epochs: Sequence[Mapping[str, float]]
    result: Mapping[str, Any] | None


@dataclass(frozen=True)
class Summary:
    """What a finished search found besides its winner; accuracies (percent) and ranks are by data set.

    `measured` are costs that a table knows, such as latencies.
    """

    totals: Mapping[str, float] = field(default_factory=dict)
    accuracy: Mapping[str, float] = field(default_factory=dict)
    rank: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """All that is told of a run.

    `choices` are the places of decisions with what is scored there, `members` the decisions of each
    discretisation, `pool` how often each genotype was found, `rows` the minibatches' scores of each by proxy,
    `drawings` the pictures of the winner's cells, or of what the `tables` tell: the suffix and the content.
    """

    path: Path
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    benchmark: Path | None
    choices: Mapping[str, Sequence[str]]
    members: Mapping[int, Sequence[Decided]]
    pool: Mapping[str, int]
    best: str | None
    rows: Mapping[str, Sequence[Mapping[str, float]]]
    summary: Summary
    drawings: Mapping[str, tuple[str, bytes]]
    training: Training | None
    stages: Sequence[Stage]
    tables: Sequence[Table] = ()

    @property
    def space(self) -> str:
        """The name of the search space; empty where nothing was searched."""
        return str(self.settings.get("search_space", ""))


def read_run(path: Path) -> Run:
    """What a folder says; UserError if no run lies there, or a file of it is damaged."""
    if not path.is_dir():
        raise UserError(f"'{path}' is no folder: give run folders, as the last lines of commands name them")
    try:
        found = tables(path)
    except ValueError as error:
        raise UserError(f"{path / str(error)} is damaged: {_REMEDY}") from None
    if not found and not (path / CONFIG).is_file():
        raise UserError(f"'{path}' is no run folder: it has no {CONFIG}")
    # tables of several runs have no settings of their own
    config = read_config(path, _REMEDY) if (path / CONFIG).is_file() else {"settings": {}}
    with _reading(path / CONFIG):
        environment = _environment(config)
        benchmark = config.get("other_options", {}).get("benchmark")
    choices = _choices(path / CHOICES)
    search, members = _decisions(path, choices)
    validation, rows = _scores(path)
    pool = Counter(_own(path / POOL))
    best = next(iter(_own(path / BEST)), None)
    stages, training = [], _training(path) or _training(path / TRAINING)
    asked = config["settings"].get("pool_size")
    if search.entries or (pool and asked is not None):
        begun = "" if pool else " begun"
        done = f"{len(members)} of {asked} discretisations{begun}, {len(search.entries)} decisions"
        stages.append(Stage("search", done, bool(pool), search.seconds))
    if rows:
        done = f"{len(rows)} of {len(pool)} networks, {len(validation.entries)} minibatches"
        stages.append(Stage("validation", done, best is not None, validation.seconds))
    if training is not None:
        done = f"{len(training.epochs)} of {training.settings.get('epochs')} epochs"
        seconds = sum(entry["seconds"] for entry in training.epochs)
        stages.append(Stage("training", done, training.result is not None, seconds))
    for name, title in SCORES.items():
        journal = _journal(path, name)
        if journal.entries:
            done = f"{len(journal.entries)} entries of {name}.jsonl"
            stages.append(Stage(title, done, True, journal.seconds))
    return Run(
        path,
        config["settings"],
        environment,
        Path(str(benchmark)) if benchmark else None,
        choices,
        members,
        pool,
        best,
        rows,
        _summary(path / SUMMARY),
        {one.stem.replace("-", " "): _drawing(one) for one in sorted(path.glob("*.svg"))},
        training,
        stages,
        found,
    )


@contextmanager
def _reading(path: Path, line: int | None = None) -> Iterator[None]:
    """What makes no sense in a file is told in one line."""
    try:
        yield
    except (UserError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        where = "" if line is None else f" in line {line}"
        raise UserError(f"{path} is damaged{where}: {_REMEDY}") from None


def _environment(config: Mapping[str, Any]) -> dict[str, str]:
    """Versions, git revision and machine; what a run of an older version lacks is left out."""
    noted = config.get("environment", {})
    machine, versions = noted.get("machine", {}), noted.get("versions", {})
    told = {**versions, "git revision": noted.get("git_revision"), **machine}
    return {str(name): str(value) for name, value in told.items() if value is not None}


def _journal(path: Path, stage: str) -> Journal:
    journal = Journal(path / f"{stage}.jsonl", read_only=True, remedy=_REMEDY)
    journal.close()
    return journal


def _choices(file: Path) -> dict[str, list[str]]:
    """What the scores of each place belong to; empty for runs of versions that kept no such file."""
    if not file.is_file():
        return {}
    with _reading(file):
        rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    return {place: names for place, *names in rows}


def _decisions(path: Path, choices: Mapping[str, Sequence[str]]) -> tuple[Journal, dict[int, list[Decided]]]:
    """The search's journal, and its decisions by discretisation."""
    journal, members = _journal(path, "search"), dict[int, list[Decided]]()
    for number, entry in enumerate(journal.entries, start=1):
        with _reading(journal.path, number):
            members.setdefault(int(entry["member"]), []).append(_decided(entry, choices))
    return journal, dict(sorted(members.items()))  # several processes write them in any order


def _decided(entry: Mapping[str, Any], choices: Mapping[str, Sequence[str]]) -> Decided:
    place = str(entry["node"] if "node" in entry else entry["choice"])
    kept = None if "node" in entry else str(entry["candidate"])
    scores = None if entry["scores"] is None else [float(score) for score in entry["scores"]]
    names = choices.get(place, ())
    if scores is not None and len(names) != len(scores):
        if names:
            raise ValueError(place)
        # runs of older versions do not know what was scored: only that what stayed has the lowest score
        names = [f"candidate {number}" for number in range(1, len(scores) + 1)]
        if kept is not None:
            names[scores.index(min(score for score in scores if score == score))] = kept
    return Decided(place, names, scores, kept, [str(name) for name in entry.get("dropped", ())])


def _scores(path: Path) -> tuple[Journal, dict[str, list[dict[str, float]]]]:
    """The validation's journal, and its scores of each genotype by proxy (by no name if there is one)."""
    journal, rows = _journal(path, "validation"), dict[str, list[dict[str, float]]]()
    for number, entry in enumerate(journal.entries, start=1):
        with _reading(journal.path, number):
            scores = entry["scores"] if "scores" in entry else {"": entry["score"]}
            row = {str(part): float(score) for part, score in scores.items()}
            rows.setdefault(str(entry["genotype"]), []).append(row)
    return journal, rows


def _own(path: Path) -> list[str]:
    """The genotypes of a result file, none where there is none."""
    if not path.is_file():
        return []
    with _reading(path):
        return read_own(path)


def _summary(path: Path) -> Summary:
    if not path.is_file():
        return Summary()
    with _reading(path):
        content = dict(json.loads(path.read_text(encoding="utf-8")))
        known = {name: cost for name, cost in (content.get("measured") or {}).items() if cost is not None}
        scores, accuracy, rank, *costs = (
            {str(name): float(value) for name, value in (of or {}).items()}
            for of in (*map(content.get, ("scores", "test_accuracy", "rank", "sizes")), known)
        )
        return Summary(scores, accuracy, {name: int(value) for name, value in rank.items()}, *costs)


def _drawing(path: Path) -> tuple[str, bytes]:
    """A picture; of one that is large as lines and letters the pixels beside it, if they are there."""
    with _reading(path):
        content = path.read_bytes()
        pixels = path.with_suffix(".png")
        if len(content) > _LARGE and pixels.is_file():
            return "png", pixels.read_bytes()
        try:
            ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            raise ValueError(path) from error
        return "svg+xml", content


def _training(path: Path) -> Training | None:
    """The training that lies in a folder, None where none does."""
    if not (path / CONFIG).is_file():
        return None
    settings = read_config(path, _REMEDY)["settings"]
    if "epochs" not in settings:
        return None
    journal, epochs = _journal(path, "training"), []
    for number, entry in enumerate(journal.entries, start=1):
        with _reading(journal.path, number):
            epochs.append({str(name): float(value) for name, value in entry.items()})
            _ = epochs[-1]["train_loss"], epochs[-1]["train_accuracy"]
    result = None
    if (path / RESULT).is_file():
        with _reading(path / RESULT):
            result = read_result(path / RESULT)
            _ = [float(result["test_accuracy"][which]) for which in ("last", "best")]
            _ = int(result.get("parameters", 0))
    return Training(settings, epochs, result)
