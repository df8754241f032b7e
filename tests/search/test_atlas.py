"""The atlas of operation scores without any network: its states, its decisions, combinations, the journal."""

import math

import pytest
import torch

from foresight_ext.errors import UserError
from foresight_ext.images.batches import Batch
from foresight_ext.measures.combination import Combination
from foresight_ext.runs.journal import Journal
from foresight_ext.search import atlas_files
from foresight_ext.search.atlas import Atlas, Scored, entry_of, steps
from foresight_ext.search.atlas_scoring import state_scores
from foresight_ext.supernets.supernet import Choice
from tests.toys import ToyProxy, ToySupernet

CHOICES = (Choice("a", ("x", "y")), Choice("b", ("x", "y", "z")))


def proxy(name, values=()):
    made = ToyProxy(values)
    made.name = name
    return made


def known(table):
    """Find in a table: (proxy, decided) -> removal scores; one-hot scores are their negatives."""

    def find(part, decided):
        rows = table.get((part.name, decided))
        return rows and Scored(rows, {choice: [-one for one in row] for choice, row in rows.items()})

    return find


def test_a_state_is_scored_both_ways():
    values = ((1, 2), (10, 20), (100, 200, 300), (0, 0), (0, 0), (0, 0))
    mixing = ((0.0, 1.0), (0.5, 0.5), (0.5, 0.25, 0.25), (1.0, 0.0), (1.0, 0.0), (1.0, 0.0))
    batch = Batch(torch.zeros(1, 3, 8, 8), torch.zeros(1))
    found = state_scores(proxy("toy", values), ToySupernet(), mixing, [1, 2], batch)
    # in all 2 + 15 + (50 + 50 + 75)
    assert found.removal == {1: [187, 182], 2: [142, 142, 117]}
    assert found.one_hot == {1: [187, 197], 2: [117, 217, 317]}


def test_the_lowest_removal_score_decides():
    table = {("p", ()): {0: [2, 1], 1: [7, 7, 7]}, ("p", (1,)): {1: [math.nan, 3, 3]}}
    found = list(steps(proxy("p"), CHOICES, known(table)))
    assert [(one.decided, one.kept) for one in found] == [((), 1), ((1,), 1)]
    assert found[0].scored.one_hot == {0: [-2, -1], 1: [-7, -7, -7]}
    # what is not known, and what is not usable, ends it
    assert len(list(steps(proxy("p"), CHOICES, known(dict(list(table.items())[:1]))))) == 1
    table["p", (1,)] = {1: [math.nan, math.inf, math.nan]}
    assert len(list(steps(proxy("p"), CHOICES, known(table)))) == 1


def test_a_combination_ranks_the_candidates_of_a_choice():
    """Not those of all choices: as the search does, which decides one edge after another."""
    both = Combination([proxy("p"), proxy("q")], "rank")
    table = {
        ("p", ()): {0: [5, 9], 1: [6, 7, 8]},
        ("q", ()): {0: [3, 2], 1: [1, 1, 9]},
        ("p", (0,)): {1: [2, 1, 3]},
        ("q", (0,)): {1: [0, 0, 0]},
    }
    first, second = steps(both, CHOICES, known(table))
    assert first.scored.removal == {0: [1 + 2, 2 + 1], 1: [1 + 1, 2 + 1, 3 + 2]}
    assert first.scored.one_hot == {0: [2 + 1, 1 + 2], 1: [3 + 2, 2 + 2, 1 + 1]}
    assert (first.kept, second.kept) == (0, 1)
    del table["q", (0,)]
    assert len(list(steps(both, CHOICES, known(table)))) == 1


def test_what_is_kept_is_read_again(tmp_path):
    p, q = proxy("p"), proxy("q")
    removal = {0: [1.0, 2.0], 1: [-math.inf, math.nan, 3.0]}
    scored = Scored(removal, {0: [0.1, 0.2], 1: [1.0, 2.0, math.inf]})
    atlas = Atlas(Journal(tmp_path / "op.jsonl"), CHOICES)

    def add(state, scored, seconds):
        atlas.add(entry_of(CHOICES, state, scored, seconds))

    add(("p", 4, []), scored, 1.5)
    assert atlas.missing([p, q], [4, 3], 1) == [("q", 4, []), ("p", 3, []), ("q", 3, [])]
    assert atlas.missing([p], [4], 2) == [("p", 4, [0])]
    assert len(atlas.steps(p, 4)) == 1
    add(("p", 4, [0]), Scored({1: [2, 1, 0]}, {1: [2, 1, 0]}), 0.25)
    add(("q", 3, []), Scored({0: [math.nan] * 2, 1: [1, 2, 3]}, scored.one_hot), 0.25)
    add(("p", 4, []), Scored({0: [7, 7], 1: [7, 7, 7]}, scored.one_hot), 0.25)  # it is known
    again = Atlas(Journal(tmp_path / "op.jsonl"), CHOICES)
    for one in (atlas, again):
        assert one.seeds == [3, 4]
        assert str(one.find(4)(p, ())) == str(scored)
        assert [step.kept for step in one.steps(p, 4)] == [0, 2]
        assert one.missing([p], [4], 2) == []
        assert one.missing([q], [3], 2) == []  # nothing decides: it goes no further
        assert one.missing([Combination([p, q], "rank"), q], [4], 2) == [("q", 4, [])]
    assert len((tmp_path / "op.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "line",
    [
        '{"proxy": "p", "seed": 0, "decided": [], "removal": {}, "one_hot": {}, "seconds": 0}',
        '{"proxy": "p", "seed": 0, "decided": ["w"], "removal": {}, "one_hot": {}, "seconds": 0}',
        '{"proxy": "p", "seed": 0, "decided": ["x"], "removal": {"b": [1, 2]}, "one_hot": {}, "seconds": 0}',
        '{"proxy": "p", "seed": 0, "decided": ["x"], "removal": {"b": [1, 2, 3]}, "seconds": 0}',
    ],
)
def test_a_journal_that_makes_no_sense_is_told(tmp_path, line):
    path = tmp_path / "op.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match="op.jsonl is damaged in line 1"):
        Atlas(Journal(path), CHOICES)


def test_charts_have_the_best_proxy_first_and_gaps_where_nothing_is_known(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(atlas_files, "save_figure", lambda make, path: make())
    for name in ("heat_map", "line_panels"):
        monkeypatch.setattr(atlas_files, name, lambda title, *rest: drawn.update({title: rest}))
    lines = {f"proxy{number}": [number / 10, 0.5][: 1 + number % 2] for number in range(10)}
    content = {
        "worth": {"best-acc": {}},
        "matrix": {"names": ["best-acc"], "spearman": [[1.0]]},
        "methods": {
            f"{name} {kind}": {
                "proxy": name,
                "kind": kind,
                "decisions": [{"spearman": {"best-acc": sign * one}} for one in line],
            }
            for name, line in lines.items()
            for kind, sign in (("removal", 1), ("one_hot", -1))
        },
    }
    atlas_files._draw(tmp_path, "svg", content)
    _, (names, columns, values), (_, _, panels) = drawn.values()
    assert names == [f"proxy{number}" for number in range(9, -1, -1)]
    assert columns == ["removal 0", "removal 1", "one-hot 0", "one-hot 1"]
    assert values[:2] == [[0.9, 0.5, -0.9, -0.5], [0.8, None, -0.8, None]]
    assert list(panels) == ["removal scores", "one-hot scores"]
    assert all(list(panel) == names[:8] for panel in panels.values())  # more lines can't be told apart
    assert panels["one-hot scores"]["proxy8"] == [-0.8]
