"""Scoring DARTS architectures: a surrogate's accuracies, comparison, ranks of what searches found."""

import csv
import re

import pytest
import torch
from torch import nn

from foresight_ext.runs.journal import Journal
from foresight_ext.runs.results import write_best
from foresight_ext.scoring.networks import sampled
from foresight_ext.scoring.ranking import correlations, rank
from sota.cnn.candidates import CELL_TYPES
from sota.cnn.genotypes import ARCHITECTURES
from sota.cnn.network import NetworkCIFAR
from sota.cnn.notation import format_genotype, parse_genotype
from sota.cnn.score_archs import NAMING, SCORED, main, read_table
from tests import running as commands
from tests.conftest import shared_file
from tests.running import read

TINY = ["--dataset=digits", "--device=cpu", "--threads=1", "--search_channels=2", "--search_layers=3"]
TINY += ["--batch_size=8"]
NAME = "darts-scores/scores-seed0-digits"
NAMES = ["init_pt_s5_C10_0_100_N10", "random_max_0", "sample_2500_0", "init_pt_s5_C10_0_N1"]
ACCURACIES = [94.0, 92.0, 93.0, 91.5]
PARAMS = [0.4, 0.3, 0.2, 0.1]


def cells(genotype):
    return [" ".join(f"{name}@{source}" for name, source in getattr(genotype, cell)) for cell in CELL_TYPES]


def write(path, rows, header=("normal", "reduce", "surrogate_accuracy", "params")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def table_rows():
    known = zip(NAMES, ACCURACIES, PARAMS)
    return [[*cells(ARCHITECTURES.get(name)), *numbers] for name, *numbers in known]


@pytest.fixture
def table(tmp_path):
    """A miniature of the table of NAS-Bench-Suite-Zero, whose accuracies are made up."""
    return write(tmp_path / "table.csv", table_rows())


def done(table, *arguments):
    return commands.done(main, f"--table={table}", f"--out={table.parent / 'out'}", *TINY, *arguments)


def refused(table, *arguments):
    line = commands.refused(main, f"--table={table}", f"--out={table.parent / 'out'}", *TINY, *arguments)
    assert not (table.parent / "out").exists()
    return line


def test_ranks_by_hand():
    assert rank(3, [1, 2, 3, 4]) == 2  # what is equal is not better
    assert rank(-torch.inf, [1, torch.inf, torch.nan]) == 2  # two of these say nothing
    assert rank(torch.inf, [1]) is rank(torch.nan, [1]) is None


def test_scores_beside_a_surrogate_and_ranks_of_what_was_found(table, monkeypatch):
    found = format_genotype(ARCHITECTURES.get("sample_20000_1"))
    (table.parent / "a-search").mkdir()
    write_best(table.parent / "a-search", "s5", "digits", found)
    judged = [f"--arch={table.parent / 'a-search'}", "--arch=random_max_0"]
    told = done(table, "--metrics=params,l2_norm", "--compare", *judged)
    folder = table.parent / "out" / NAME
    assert told[-1] == f"run: {folder}"
    assert any(
        "a surrogate (NAS-Bench-301) predicts: these architectures were not trained" in one for one in told
    )
    with (folder / "scores.csv").open(newline="") as file:
        scores = {row["architecture"]: row for row in csv.DictReader(file)}
    order = sampled(0, [format_genotype(ARCHITECTURES.get(name)) for name in NAMES], 4)
    assert list(scores) == [*order, found]
    assert all(parse_genotype(one) for one in scores)  # as --arch takes them
    accuracies = read_table(table)
    column = [float(scores[one]["params"]) for one in order]
    expected = correlations(column, [accuracies[one] for one in order])
    assert read(folder, "correlations.json")["correlations"]["params"] == {"surrogate": expected}
    compared = read(folder, "compared.json")["spearman"]
    theirs = [PARAMS[ACCURACIES.index(accuracies[one])] for one in order]
    assert compared["params"]["both"] == correlations(column, theirs)["spearman"]
    assert compared["l2_norm"]["networks"] == 0
    # the one that was found is ranked among the table; one of the table among the others
    own, largest = float(scores[found]["params"]), format_genotype(ARCHITECTURES.get("random_max_0"))
    others = [float(scores[one]["params"]) for one in order if one != largest]
    ranks = read(folder, "ranks.json")
    assert ranks["a-search"]["params"] == {"rank": rank(own, others), "of": 4}
    assert ranks["random_max_0"]["params"] == {
        "rank": rank(float(scores[largest]["params"]), others),
        "of": 4,
    }
    assert any(re.match(r"a-search: params \d of 4, l2_norm \d of 4$", one) for one in told)
    # nothing is computed again, and one more network is
    appended, append = [], Journal.append
    monkeypatch.setattr(Journal, "append", lambda journal, one: (appended.append(one), append(journal, one)))
    done(table, "--metrics=l2_norm", *judged)
    done(table, "--metrics=l2_norm", "--arch=sample_50000_0")
    assert [one["architecture"] for one in appended] == [format_genotype(ARCHITECTURES.get("sample_50000_0"))]


ROW = table_rows()[0]


@pytest.mark.parametrize(
    "rows, told",
    [
        ([["normal", "accuracy"], ["", ""]], "has no column of architectures: it must be a CSV with columns"),
        (
            [["normal", "reduce", "a"], ROW[:3]],
            "has no column surrogate_accuracy beside the architectures: it",
        ),
        (
            [["normal", "reduce", "surrogate_accuracy"], ROW[:3]],
            "holds 1 architectures: two or more are needed",
        ),
        (
            [["normal", "reduce", "surrogate_accuracy"], ROW],
            "is damaged: row 2: it holds 4 cells in place of 3",
        ),
        ([["normal", "reduce", "surrogate_accuracy"], [*ROW[:2], ""]], "is damaged: row 2 holds nan as surr"),
        (
            [["normal", "reduce", "surrogate_accuracy"], ["skip_connect@0", ROW[1], 9]],
            "is damaged: row 2: architecture 'skip_connect@0 | ",
        ),
        (
            [["normal", "reduce", "surrogate_accuracy"], [ROW[0].replace("@0", "", 1), *ROW[1:3]]],
            "cell reads input -1: it may read 0 to 1",
        ),
        (
            [["normal", "reduce", "surrogate_accuracy"], ROW[:3], ROW[:3]],
            "is damaged: row 3: it holds ",
        ),
    ],
)
def test_mistakes_in_the_table_are_told_before_anything_is_scored(rows, told, tmp_path):
    path = tmp_path / "table.csv"
    write(path, rows[1:], rows[0])
    line = refused(path)
    assert line.startswith(f"--table '{path}' ")
    assert told in line


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--sample=5"], "--sample 5: the table holds 4 architectures"),
        (["--arch=init_pt"], "'init_pt' is neither an architecture of sota/cnn/genotypes.py"),
        (
            ["--arch=random_max_0"] * 2,
            "--arch random_max_0: there is an architecture of the name 'random_max_0'",
        ),
        (["--compare", "--metrics=snip"], "has none of the proxies snip: it has surrogate_accuracy, params"),
    ],
)
def test_mistakes_are_told_before_anything_is_scored(table, arguments, told):
    assert told in refused(table, *arguments)


def test_a_table_is_needed(tmp_path):
    assert commands.refused(main, f"--out={tmp_path}") == "the following arguments are required: --table"


def test_the_published_networks_have_32_channels_8_cells_and_operations_without_affine_batch_norms():
    """Their parameters to the last: it is what tells the size of the networks that were scored."""
    path = shared_file("data/darts_surrogate_nb301.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(read_table(path)) == 725
    for row in rows[::40]:
        genotype = parse_genotype(NAMING.read([row[cell] for cell in CELL_TYPES]))
        with torch.device("meta"):
            network = NetworkCIFAR(
                genotype, SCORED.search_channels, SCORED.search_layers, 10, auxiliary=False
            )
        parameters = sum(one.numel() for one in network.parameters())
        for cell in network.cells:
            norms = [one for one in cell.operations.modules() if isinstance(one, nn.BatchNorm2d)]
            parameters -= sum(weight.numel() for one in norms for weight in one.parameters())
        assert parameters == round(1e6 * float(row["params"]))
