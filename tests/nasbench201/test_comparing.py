"""`--compare`: our scores beside published ones of the same networks, from miniatures of such tables."""

import csv
import re

import pytest

from foresight_ext.scoring.ranking import correlations
from nasbench201.benchmark import BENCHMARKED
from nasbench201.genotype import SPACE_SIZE
from nasbench201.score_archs import main, sampled
from tests import running as commands
from tests.running import TINY_NASBENCH201, read

SAMPLE = sampled(0, 6)
ARGUMENTS = [*TINY_NASBENCH201, "--sample=6"]
NAME = "nas-bench-201-scores/scores-seed0-digits"


def table(path, columns, architectures=SAMPLE):
    """A table of columns by name, in NAS-Bench-Suite-Zero's layout."""
    with path.open("w", newline="") as file:
        rows = [["", one, *values] for one, *values in zip(architectures, *columns.values())]
        csv.writer(file).writerows([["net", "net_str", *columns], *rows])
    return path


@pytest.fixture
def benchmark(tmp_path):
    """A benchmark of all architectures, whose accuracies are made up."""
    path = tmp_path / "made-up.csv"
    rows = [
        f"{one},{number / 200},{90 - number / 200},50" for number, one in enumerate(sampled(7, SPACE_SIZE))
    ]
    path.write_text("\n".join([f"arch,{','.join(BENCHMARKED)}", *rows]) + "\n")
    return path


def test_scores_are_compared_with_published_ones(tmp_path, benchmark):
    published = {"params": [3, 1, 2, "", 5, 9], "ntk": [6, 5, 4, 3, 2, 1], "jacov": [1, 2, 3, 4, 5, 6]}
    path = table(tmp_path / "published.csv", published)
    told = commands.done(
        main,
        *ARGUMENTS,
        f"--out={tmp_path}",
        "--metrics=params,ntk,jacob_cov,flops",
        f"--benchmark={benchmark}",
        f"--compare={path}",
    )
    content = read(tmp_path / NAME, "compared.json")
    assert content["with"] == str(path)
    found = content["spearman"]
    with (tmp_path / NAME / "scores.csv").open(newline="") as file:
        own = {row["architecture"]: row for row in csv.DictReader(file)}
    held = [one for number, one in enumerate(SAMPLE) if number != 3]  # the fourth is a gap
    ours = [float(own[one]["params"]) for one in held]
    assert found["params"]["networks"] == 5
    assert found["params"]["both"] == correlations(ours, [3, 1, 2, 5, 9])["spearman"]
    places = {one: number for number, one in enumerate(sampled(7, SPACE_SIZE))}
    accuracies = [places[one] for one in held]
    assert found["params"]["cifar10 ours"] == correlations(ours, accuracies)["spearman"]
    theirs = correlations([3, 1, 2, 5, 9], accuracies)["spearman"]
    assert found["params"]["cifar10 theirs"] == theirs
    assert found["params"]["cifar100 theirs"] == pytest.approx(-theirs)
    assert found["params"]["imagenet16-120 theirs"] is None  # a constant
    # of condition numbers, ours and theirs, the lower is the better
    ours = [-float(own[one]["ntk"]) for one in SAMPLE]
    assert found["ntk"]["both"] == correlations(ours, [-6, -5, -4, -3, -2, -1])["spearman"]
    assert (
        found["ntk"]["cifar10 theirs"] == correlations(range(6), [places[one] for one in SAMPLE])["spearman"]
    )
    assert found["jacob_cov"]["networks"] > 0  # under the name that they have for it
    assert found["flops"] == {"networks": 0, **dict.fromkeys(list(found["params"])[1:])}
    start = rf"params +5 +{found['params']['both']:.3f} +{found['params']['cifar10 ours']:.3f} +{theirs:.3f} "
    assert any(re.match(start, line) for line in told)
    assert any(re.match(r"flops +0  it has no score by this proxy$", line) for line in told)


def test_a_run_compares_with_another_ones_scores(tmp_path, capsys):
    commands.done(main, *ARGUMENTS, f"--out={tmp_path / 'first'}", "--metrics=l2_norm")
    other = tmp_path / "first" / NAME / "scores.csv"
    told = commands.done(
        main, *ARGUMENTS, f"--out={tmp_path}", "--seed=0", "--metrics=l2_norm", f"--compare={other}"
    )
    assert any(re.match(r"l2_norm +6 +1\.000$", line) for line in told)


ROW = ["", SAMPLE[0], 1]


@pytest.mark.parametrize(
    "rows, told",
    [
        (
            [["net", "params"], ["", 1]],
            "has no column of architectures: it must be a CSV with a column net_str,",
        ),
        ([], "has no column of architectures: it must be a CSV with a column net_str, arch or"),
        ([["{", "{"], ROW], "has no column of architectures: it must be a CSV with"),
        ([["net_str", "params", "params"], ROW], "names the column 'params' more than once: once is allowed"),
        ([["net", "net_str", "snap"], ROW], "has none of the proxies params, nwot: it has net, snap"),
        ([["net", "net_str", "params"], ROW], "holds 1 of the 6 networks: two or more are needed"),
        (
            [["net", "net_str", "params"], ROW, ROW],
            f"is damaged: row 3: it holds {SAMPLE[0]} for the second time",
        ),
        (
            [["net", "net_str", "params"], ["", "|x|", 1]],
            "is damaged: row 2: architecture '|x|' does not",
        ),
        ([["net", "net_str", "params"], ROW[:2]], "is damaged: row 2: it holds 2 cells in place of 3"),
        (
            [["net", "net_str", "params"], ["", SAMPLE[0], "many"]],
            "is damaged: row 2: its params is no number: 'many'",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_scored(rows, told, tmp_path):
    path = tmp_path / "published.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    line = commands.refused(
        main, *ARGUMENTS, f"--out={tmp_path / 'out'}", "--metrics=params,nwot", f"--compare={path}"
    )
    assert f"--compare '{path}' {told}" in line
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_told(tmp_path):
    line = commands.refused(main, *ARGUMENTS, f"--out={tmp_path}", f"--compare={tmp_path / 'none.csv'}")
    assert (
        f"--compare '{tmp_path / 'none.csv'}' cannot be read (No such file or directory): it must be" in line
    )
