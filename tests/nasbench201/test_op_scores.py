"""The atlas of operation scores: what it holds, the search it follows, what grows and resumes, its files."""

import csv
import json
import math
import re
import zipfile
from collections import Counter

import pytest

from foresight_ext.measures import PROXIES
from foresight_ext.runs.journal import Journal
from foresight_ext.search.ranking import mean_rows, table_correlation, worth
from nasbench201 import networks_proposal
from nasbench201.benchmark import BENCHMARKED, Benchmark
from nasbench201.genotype import EDGE_NAMES, OPERATIONS, SPACE_SIZE
from nasbench201.op_accuracies import operation_accuracies
from nasbench201.op_scores import main
from nasbench201.score_archs import sampled
from tests import PROJECT_ROOT
from tests import running as commands
from tests.conftest import shared_file
from tests.running import TINY_NASBENCH201, read, stopped_after

NAME = "nas-bench-201-op-scores/op_scores-digits"
FILES = ("op_scores.md", "op_scores.json", "op_scores.csv", "correlations.csv", "matrix.csv")
CHARTS = [f"{name}.{suffix}" for name in ("matrix", "proxies", "decisions") for suffix in ("svg", "png")]


def done(out, *arguments):
    """The lines of a command that must succeed."""
    return commands.done(main, f"--out={out}", *TINY_NASBENCH201, *arguments)


def refused(out, *arguments):
    """The one line of a command that must be refused."""
    return commands.refused(main, f"--out={out}", *TINY_NASBENCH201, *arguments)


def entries(folder):
    """The journal without the seconds."""
    lines = [json.loads(line) for line in (folder / "op_scores.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """A benchmark of all architectures, whose accuracies are made up."""
    path = tmp_path_factory.mktemp("data") / "made-up.csv"
    lines = [f"arch,{','.join(BENCHMARKED)}"]
    for number, architecture in enumerate(sampled(7, SPACE_SIZE)):
        lines.append(f"{architecture},{number / 200:.4f},{90 - number / 200:.4f},{number % 89}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory, benchmark):
    """A run folder of two proxies and two seeds, with its tables."""
    out = tmp_path_factory.mktemp("runs")
    done(out, "--seeds=0-1", "--metrics=jacob,params", f"--benchmark={benchmark}")
    return out / NAME


@pytest.fixture(autouse=True)
def no_benchmark_lies_about(tmp_path, monkeypatch):
    """What the developer has in data/ has no part in these tests."""
    monkeypatch.setattr("nasbench201.benchmark.DATA_FOLDER", tmp_path / "empty")
    (tmp_path / "empty").mkdir()


@pytest.fixture
def no_charts(monkeypatch):
    """Drawing takes longer than scoring here."""
    monkeypatch.setattr("foresight_ext.search.atlas_files._draw", lambda *arguments: None)


@pytest.mark.parametrize("metric, seed", [("jacob", 1), ("l2_norm", 2)])
def test_decisions_are_those_of_the_search(tmp_path, no_charts, metric, seed):
    """Scores and decisions of the pipeline with the same flags, to the last digit."""
    arguments = [*TINY_NASBENCH201, f"--out={tmp_path}", f"--metrics={metric}"]
    commands.done(main, *arguments, f"--seeds={seed}")
    pipeline = [f"--seed={seed}", "--edge_decision=order", "--pool_size=1", "--stage=search"]
    commands.done(networks_proposal.main, *arguments, *pipeline)
    search = tmp_path / f"nas-bench-201/zerocostpt-seed{seed}-digits-{metric}-order"
    told = [json.loads(line) for line in (search / "search.jsonl").read_text().splitlines()]
    found = entries(tmp_path / NAME)
    assert [one["removal"][entry["choice"]] for one, entry in zip(found, told)] == [
        entry["scores"] for entry in told
    ]
    assert found[-1]["decided"] == [entry["candidate"] for entry in told[:-1]]
    one = read(tmp_path / NAME, "op_scores.json")["methods"][f"{metric} removal"]
    pool = read(search, "networks_pool.json")["networks"]
    assert one["decisions"][5]["seeds"][0]["architecture"] == pool[0]["genotype"]


def test_what_an_entry_holds(made):
    for entry in entries(made):
        left = list(EDGE_NAMES[len(entry["decided"]) :])
        assert list(entry["removal"]) == list(entry["one_hot"]) == left
        # `none` adds nothing: removed it is the same on all edges, alone it leaves none of the edge
        assert len({row[0] for row in entry["removal"].values()}) == 1
        if entry["proxy"] == "params":  # with 3x3 alone, or without 3x3, on any edge as on another
            for kind in ("removal", "one_hot"):
                assert len({tuple(row) for row in entry[kind].values()}) == 1
            none, skip, one, three, pool = entry["one_hot"][left[0]]
            assert none == skip == pool < one < three


def test_tables_hold_what_the_scores_say(made, benchmark):
    content = read(made, "op_scores.json")
    accuracies = operation_accuracies(Benchmark.open(benchmark))
    found = [one for one in entries(made) if one["proxy"] == "jacob"]
    for kind, title in (("removal", "jacob removal"), ("one_hot", "jacob one-hot")):
        told = content["methods"][title]
        assert told["seeds"] == [0, 1]
        tables = {
            number: [
                {EDGE_NAMES.index(edge): row for edge, row in one[kind].items()}
                for one in found
                if len(one["decided"]) == number
            ]
            for number in range(6)
        }
        once = worth(mean_rows(tables[0]), kind)
        for name, rows in accuracies.items():
            assert told["once"]["spearman"][name] == pytest.approx(table_correlation(once, rows), abs=1e-4)
            for number, decision in enumerate(told["decisions"]):
                each = [table_correlation(worth(one, kind), rows) for one in tables[number]]
                assert decision["spearman"][name] == pytest.approx(sum(each) / 2, abs=1e-4)
                # with anything else decided only the edges left are compared
                assert [list(one) for one in tables[number]] == [list(range(number, 6))] * 2
    asked = Benchmark.open(benchmark)
    pick = content["methods"]["jacob one-hot"]["once"]
    assert pick["standing"]["cifar10"]["rank"] == asked.rank(pick["architecture"], "cifar10")
    matrix = content["matrix"]
    assert matrix["names"][:2] == ["best-acc cifar10", "avg-acc cifar10"]
    place = matrix["names"].index("jacob removal")
    row = dict(zip(matrix["names"], matrix["spearman"][place]))
    assert row["jacob removal"] == 1
    once = content["methods"]["jacob removal"]["once"]
    assert row["avg-acc cifar100"] == once["spearman"]["avg-acc cifar100"]


def test_files(made):
    with (made / "op_scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # proxies x kinds x seeds x (30 + 25 + ... + 5)
    assert len(rows) == 2 * 2 * 2 * 105
    first = entries(made)[0]
    assert [float(row["score"]) for row in rows[:5]] == first["removal"]["1<-0"]
    assert [row["operation"] for row in rows[:5]] == list(OPERATIONS)
    with (made / "correlations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["decision"] for row in rows] == ["once", *"012345"] * 4
    told = read(made, "op_scores.json")["methods"]["params one-hot"]
    assert float(rows[-1]["best-acc cifar10"]) == told["decisions"][5]["spearman"]["best-acc cifar10"]
    text = (made / "op_scores.md").read_text()
    number = told["once"]["spearman"]["best-acc cifar10"]
    assert f"| params one-hot | 2 | {number:.3f} |" in text
    assert "### Error on imagenet16-120 in percent" in text
    for name in CHARTS:
        content = (made / name).read_bytes()
        assert content.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    assert "jacob one-hot" in (made / "matrix.svg").read_text()


def test_grows_and_resumes(tmp_path, no_charts, monkeypatch):
    """Stopped anywhere it goes on; more proxies and seeds compute what is missing; the same in the end."""
    arguments = ["--seeds=0-1", "--metrics=jacob,nwot"]
    with stopped_after(7):
        assert commands.run(main, f"--out={tmp_path}", *TINY_NASBENCH201, *arguments)[0] == 130
    assert len(entries(tmp_path / NAME)) == 7
    with (tmp_path / NAME / "op_scores.jsonl").open("ab") as file:
        file.write(b'{"proxy": "nwot", "se')  # a killed process may leave half a line
    done(tmp_path, *arguments)
    assert len(entries(tmp_path / NAME)) == 24
    done(tmp_path / "other", "--seeds=1", "--metrics=nwot", "--decisions=1")
    content = read(tmp_path / "other" / NAME, "op_scores.json")["methods"]["nwot removal"]
    assert len(content["decisions"]) == len(entries(tmp_path / "other" / NAME)) == 1
    with monkeypatch.context() as patch:
        patch.setattr("foresight_ext.runs.progress._EVERY", 0)
        told = done(tmp_path / "other", "--seeds=1", "--metrics=nwot")
    # both ways, five operations on each edge that is left: of 60 + 50 + ... + 10 the first 60 are there
    progress = [line.split(" (")[0] for line in told if line.startswith("operations scored: ")]
    assert progress == [f"operations scored: {count} of 210" for count in (110, 150, 180, 200)]
    done(tmp_path / "other", "--seeds=0", "--metrics=jacob")
    done(tmp_path / "other", *arguments)
    for name in FILES:
        assert (tmp_path / NAME / name).read_bytes() == (tmp_path / "other" / NAME / name).read_bytes()
    monkeypatch.setattr(Journal, "append", None)  # would fail
    told = done(tmp_path, *arguments)
    assert told[0] == "scored before, nothing to compute: --force would start afresh"
    # what is asked for says what is computed; the tables hold all that was
    assert any(line.startswith("nwot one-hot ") for line in done(tmp_path, "--seeds=0", "--metrics=jacob"))


@pytest.mark.parametrize("workers", [["--processes=2"], ["--cluster=debug", "--slurm=jobs=3"]])
def test_sharing_changes_nothing(tmp_path, made, no_charts, workers):
    arguments = ["--seeds=0-1", "--metrics=jacob,params", *workers]
    with stopped_after(9):
        assert commands.run(main, f"--out={tmp_path}", *TINY_NASBENCH201, *arguments)[0] == 130
    told = done(tmp_path, *arguments)
    shared = "2 processes" if "--processes=2" in workers else "jobs of 1 process each"
    assert told[0] == f"scoring operations on the CPU, in {shared}"
    assert not (tmp_path / NAME / "cluster").exists()
    assert (tmp_path / NAME / "op_scores.csv").read_bytes() == (made / "op_scores.csv").read_bytes()
    assert sorted(map(str, entries(tmp_path / NAME))) == sorted(map(str, entries(made)))


def test_a_proxy_without_any_usable_score_ends_there(tmp_path, no_charts, monkeypatch):
    proxy = PROXIES.get("l2_norm")
    calls = []

    def scores(supernet, mixings, batch):
        calls.append(len(mixings))
        return [math.nan if len(calls) > 2 else float(number) for number in range(len(mixings))]

    monkeypatch.setattr(proxy, "score_mixings", scores, raising=False)
    told = done(tmp_path, "--seeds=0", "--metrics=l2_norm,params")
    assert "l2_norm, seed 0: no score of 2<-1 is usable, so it decides no further" in told
    content = read(tmp_path / NAME, "op_scores.json")["methods"]
    assert [len(content[name]["decisions"]) for name in ("l2_norm removal", "params removal")] == [2, 6]
    told = done(tmp_path, "--seeds=0", "--metrics=l2_norm,params")
    assert told[0].startswith("scored before, nothing to compute")
    # l2_norm alone: no tables of nothing
    calls[:] = [0, 0]
    told = done(tmp_path / "other", "--seeds=0", "--metrics=l2_norm")
    assert "no proxy has a usable score, so there are no tables" in told


def test_without_a_benchmark_there_are_scores(tmp_path):
    told = done(tmp_path, "--seeds=3", "--metrics=params")
    assert sum(line.startswith("no benchmark, so no correlations") for line in told) == 1
    content = read(tmp_path / NAME, "op_scores.json")
    assert content["matrix"]["names"] == ["params removal", "params one-hot"]
    assert content["methods"]["params one-hot"]["once"]["architecture"].startswith("|nor_conv_3x3~0|+")
    assert not (tmp_path / NAME / "decisions.svg").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--metrics=jacb"], "argument --metrics/--metric: unknown proxy 'jacb': choose from jacob, "),
        (["--seeds=1-"], "argument --seeds: '' is not a whole number from 0 to 4294967295"),
        (["--decisions=7"], "argument --decisions: '7' is not a whole number from 1 to 6"),
        (["--seeds=3-1"], "argument --seeds: '3-1' is no range of seeds such as 0-3, 10,000 of"),
        (["--metrics=zico", "--batch_size=1"], "--batch_size 1: zico needs 2 images or more"),
        (["--benchmark=gone.csv"], "gone.csv' is not a file"),
        (["--data=nowhere", "--dataset=folder"], "nowhere has no folder train"),
    ],
)
def test_a_mistake_is_one_line_and_makes_nothing(tmp_path, arguments, message):
    assert message in refused(tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_a_minibatch_of_more_than_half_the_images_is_told(tmp_path, no_charts):
    told = done(tmp_path, "--seeds=0", "--metrics=params", "--batch_size=800", "--decisions=1")
    assert "minibatches have 718 images, half of the training images, not the 800 asked for" in told


def test_other_settings_are_refused(tmp_path, no_charts):
    done(tmp_path, "--seeds=0", "--metrics=params")
    told = refused(tmp_path, "--seeds=0", "--metrics=params", "--batch_size=9")
    assert "is a run with other settings (batch_size 8 there, 9 asked for)" in told


def test_a_damaged_journal_is_told(tmp_path, no_charts):
    done(tmp_path, "--seeds=0", "--metrics=params")
    journal = tmp_path / NAME / "op_scores.jsonl"
    journal.write_text(journal.read_text().replace('"2<-1"', '"2<-7"', 1))
    assert "op_scores.jsonl is damaged in line 1" in refused(tmp_path, "--seeds=0", "--metrics=params")


def test_the_scores_that_lie_here_are_those_of_the_readme(tmp_path, no_charts):
    """What was computed for the README needs no images to be told again."""
    with zipfile.ZipFile(PROJECT_ROOT / "nasbench201/op_scores16.zip") as archive:
        archive.extractall(tmp_path)
    asked = ["--save=op_scores16", "--batch_size=16", "--seeds=0-3", "--metrics=jacob", "--dataset=folder"]
    benchmark = shared_file("data/nasbench201_test_accuracy.csv")
    told = commands.done(main, f"--out={tmp_path}", *asked, f"--benchmark={benchmark}")
    assert told[0] == "scored before, nothing to compute: --force would start afresh"
    folder = tmp_path / "nas-bench-201-op-scores/op_scores16-folder"
    methods = read(folder, "op_scores.json")["methods"]
    known = {
        name.removesuffix(" removal"): (len(one["seeds"]), one["decisions"])
        for name, one in methods.items()
        if name.endswith(" removal")
    }
    with (folder / "op_scores.csv").open() as file:
        counted = Counter(row["proxy"] for row in csv.DictReader(file))
    for name, (seeds, decisions) in known.items():
        # both ways of each seed's decisions with five candidates for each edge that is left
        assert counted[name] == 2 * seeds * 5 * sum(6 - number for number in range(len(decisions)))
        assert (seeds, len(decisions)) in [(4, 6), (1, 6), (1, 1)]

    def cells(name, kind):
        once = methods[f"{name} {kind}"]["once"]
        best, mean = (once["spearman"][f"{one} cifar10"] for one in ("best-acc", "avg-acc"))
        return [f"{best:.3f} / {mean:.3f}", place(once)]

    def place(told):
        standing = told["standing"]["cifar10"]
        return f"{standing['rank']:,.0f}, {standing['error']:.2f}%"

    readme = (PROJECT_ROOT / "nasbench201/README.md").read_text()
    shown = {name: row.split(" | ") for name, row in re.findall(r"(?m)^\| `(\w+)` \| (\d \| .+) \|$", readme)}
    assert shown == {
        name: [
            str(seeds),
            *cells(name, "removal"),
            *cells(name, "one-hot"),
            place(decisions[-1]) if len(decisions) == 6 else "",
        ]
        for name, (seeds, decisions) in known.items()
    }
