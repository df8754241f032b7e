"""Scoring NAS-Bench-201 networks: the sample, what grows and resumes, worker processes, correlations."""

import csv
import json
import math
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from foresight_ext.commands.options import compute_of, workers_of
from foresight_ext.devices import threads_set
from foresight_ext.images.source import ImageSettings
from foresight_ext.measures import PROXIES
from foresight_ext.measures.combination import proxy_of
from foresight_ext.runs.journal import Journal
from foresight_ext.scoring.networks import ScoringSettings, minibatch, score_one
from foresight_ext.scoring.ranking import correlations
from nasbench201.benchmark import BENCHMARKED, Benchmark
from nasbench201.canonical import canonical
from nasbench201.genotype import SPACE_SIZE
from nasbench201.score_archs import main, parse, sampled
from nasbench201.space import NASBench201Space
from tests import running as commands
from tests.running import TINY_NASBENCH201, class_folders, interrupted, read, stopped_after

SMALL = TINY_NASBENCH201
NAME = "nas-bench-201-scores/scores-seed0-digits"


def done(out, *arguments):
    """The lines of a command that must succeed."""
    return commands.done(main, f"--out={out}", *SMALL, *arguments)


def refused(out, *arguments):
    """The one line of a command that must be refused."""
    return commands.refused(main, f"--out={out}", *SMALL, *arguments)


def rows(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """A benchmark of all architectures, whose accuracies are made up."""
    path = tmp_path_factory.mktemp("data") / "made-up-nasbench201.csv"
    lines = [f"arch,{','.join(BENCHMARKED)}"]
    for number, architecture in enumerate(sampled(7, SPACE_SIZE)):
        lines.append(f"{architecture},{number / 200:.4f},{90 - number / 200:.4f},50")
    path.write_text("\n".join(lines) + "\n")
    return f"--benchmark={path}"


@pytest.fixture(autouse=True)
def no_benchmark_lies_about(tmp_path, monkeypatch):
    """What the developer has in data/ has no part in these tests."""
    monkeypatch.setattr("nasbench201.benchmark.DATA_FOLDER", tmp_path / "empty")
    (tmp_path / "empty").mkdir()


def test_any_number_of_processes_gives_the_same_bytes(tmp_path):
    """One, too, where PyTorch has more threads, by which sums are rounded otherwise."""
    several = [one for one in SMALL if not one.startswith("--threads")]
    tables = []
    with threads_set(3):
        for number in (1, 2):
            asked = ["--sample=3", "--metrics=zico,grasp", "--init_channels=8", f"--processes={number}"]
            commands.done(main, f"--out={tmp_path / str(number)}", *several, *asked)
            tables.append((tmp_path / str(number) / NAME / "scores.csv").read_bytes())
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    "arguments, threads",
    [([], None), (["--threads=3"], 3), (["--processes=1"], 1), (["--processes=4", "--threads=2"], 2)],
)
def test_processes_have_one_thread_unless_more_are_asked(arguments, threads):
    options = parse([*arguments, "--cluster=local"])
    assert compute_of(options).threads == threads
    workers = workers_of(options)
    assert workers.threads == threads
    assert workers.cluster.parameters["cpus_per_task"] == workers.processes * (threads or 1)


def test_a_smaller_sample_begins_a_larger_one():
    every = sampled(0, SPACE_SIZE)
    assert len(set(every)) == SPACE_SIZE
    assert sampled(0, 300) == every[:300]
    assert sampled(1, 300) != every[:300]


def test_correlations_by_hand():
    assert correlations([1, 2, 3, 4], [10, 20, 30, 40]) == {"unusable": 0, "spearman": 1, "kendall": 1}
    assert correlations([4, 3, 2, 1], [10, 20, 30, 40]) == {"unusable": 0, "spearman": -1, "kendall": -1}
    # ranks 2134 against 1234: 1 - 6 * 2 / (4 * 15) = 0.8; five pairs agree, one does not: 4 / 6
    assert correlations([2, 1, 3, 4], [1, 2, 3, 4]) == {"unusable": 0, "spearman": 0.8, "kendall": 0.6667}
    # minus infinity is a lowest score; NaN and plus infinity say nothing
    some = [math.nan, 2, -math.inf, 3, math.inf]
    assert correlations(some, [9, 2, 1, 3, 0]) == {"unusable": 2, "spearman": 1, "kendall": 1}
    nothing = {"spearman": None, "kendall": None}
    assert correlations([1, 1, 1], [1, 2, 3]) == {"unusable": 0, **nothing}
    assert correlations([math.nan] * 3, [1, 2, 3]) == {"unusable": 3, **nothing}


def test_scores_accuracies_and_correlations(tmp_path, benchmark):
    told = done(tmp_path, "--metrics=jacob,params,ntk,tenas", "--sample=6", benchmark)
    folder = tmp_path / NAME
    assert told[-1] == f"run: {folder}"
    table = rows(folder)
    assert [row["architecture"] for row in table] == sampled(0, 6)
    assert set(table[0]) == {"architecture", "jacob", "params", "ntk", "linear_regions"}
    content = read(folder, "correlations.json")
    assert content["networks"] == 6
    asked = Benchmark.open(Path(benchmark.partition("=")[2]))
    accuracies = [asked.accuracy(row["architecture"], "cifar10") for row in table]
    column = {name: [float(row[name]) for row in table] for name in ("jacob", "ntk", "linear_regions")}
    held = {name: entry["cifar10"] for name, entry in content["correlations"].items()}
    assert held["jacob"] == correlations(column["jacob"], accuracies)
    harder = [-value for value in column["ntk"]]  # a lower condition number is better
    assert held["ntk"] == correlations(harder, accuracies)
    tenas = proxy_of(["ntk", "linear_regions"], "rank").combine([harder, column["linear_regions"]])
    assert held["tenas"] == correlations(tenas, accuracies)
    # made up as 90 less the first one, and as a constant
    first, second, third = content["correlations"]["jacob"].values()
    assert second["spearman"] == pytest.approx(-first["spearman"])
    assert third["spearman"] is None
    assert any(re.match(rf"jacob +{first['spearman']:.3f} ", line) for line in told)


def test_correlations_over_distinct_networks_take_the_first_of_each(tmp_path, benchmark):
    told = done(tmp_path, "--metrics=l2_norm", "--sample=36", benchmark)
    content = read(tmp_path / NAME, "correlations.json")
    assert (content["networks"], content["distinct"]["networks"]) == (36, 35)
    found = {row["architecture"]: float(row["l2_norm"]) for row in rows(tmp_path / NAME)}
    firsts = {}
    for one in sampled(0, 36):
        firsts.setdefault(canonical(one), one)
    asked = Benchmark.open(Path(benchmark.partition("=")[2]))
    for some, held in ((firsts.values(), content["distinct"]), (found, content)):
        columns = [(found[one], asked.accuracy(one, "cifar10")) for one in some]
        assert held["correlations"]["l2_norm"]["cifar10"] == correlations(*zip(*columns))
    assert content["correlations"] != content["distinct"]["correlations"]
    assert "the 35 of them that are distinct, the first of those that compute the same:" in told


def test_what_is_there_is_not_computed_again(tmp_path, monkeypatch):
    appended = []
    append = Journal.append

    def counting(journal, entry):
        appended.append((entry["architecture"], entry["proxy"]))
        append(journal, entry)

    monkeypatch.setattr(Journal, "append", counting)
    done(tmp_path, "--metrics=jacob", "--sample=4")
    assert len(appended) == 4
    before = (tmp_path / NAME / "scores.csv").read_bytes()
    told = done(tmp_path, "--metrics=jacob", "--sample=4")
    assert told[0] == "scored before, nothing to compute: --force would start afresh"
    assert (tmp_path / NAME / "scores.csv").read_bytes() == before
    del appended[:]
    done(tmp_path, "--metrics=nwot,jacob", "--sample=5")  # one network and one proxy more
    assert sorted(appended) == sorted(
        [(one, "nwot") for one in sampled(0, 5)] + [(sampled(0, 5)[-1], "jacob")]
    )
    # asked for less, the table keeps what it has
    kept = (tmp_path / NAME / "scores.csv").read_bytes()
    done(tmp_path, "--metrics=nwot", "--sample=2")
    assert (tmp_path / NAME / "scores.csv").read_bytes() == kept
    # stopped anywhere, also within a line: the same in the end
    whole = (tmp_path / NAME / "scores.csv").read_bytes()
    journal = tmp_path / NAME / "scores.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])
    del appended[:]
    done(tmp_path, "--metrics=nwot,jacob", "--sample=5")
    assert len(appended) == 1
    assert (tmp_path / NAME / "scores.csv").read_bytes() == whole


def test_processes_change_no_score(tmp_path):
    arguments = ["--metrics=snip,linear_regions", "--sample=3"]
    done(tmp_path / "one", *arguments)
    done(tmp_path / "two", *arguments, "--processes=2")
    assert rows(tmp_path / "one" / NAME) == rows(tmp_path / "two" / NAME)


def test_scores_are_those_of_the_proxies(tmp_path):
    """Recomputed apart: weights from seed and architecture, minibatch from the seed."""
    done(tmp_path, "--metrics=jacob,synflow", "--sample=2")
    settings = ScoringSettings(NASBench201Space(init_channels=2, cells=1), 0, ImageSettings("digits"), 8)
    batch = minibatch(settings, torch.device("cpu"))
    for row in rows(tmp_path / NAME):
        _, found = score_one(settings, batch, (row["architecture"], ("synflow", "jacob")))
        assert {name: str(score) for name, (score, _) in found.items()} == {
            name: row[name] for name in ("synflow", "jacob")
        }


def test_without_a_benchmark_that_is_said(tmp_path):
    told = done(tmp_path, "--sample=1")
    assert sum(line.startswith("no benchmark, so no correlations") for line in told) == 1
    assert not (tmp_path / NAME / "correlations.json").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--metrics=jacb"], "argument --metrics/--metric: unknown proxy 'jacb': choose from jacob, "),
        (["--metrics=snip,jacob,snip"], "the proxy 'snip' comes twice in 'snip,jacob,snip': leave one out"),
        (["--sample=0"], "argument --sample: '0' is not a whole number from 1 to 15625"),
        (
            ["--slurm=partition=short"],
            "--slurm partition=short goes with --cluster only: add --cluster slurm",
        ),
        (
            ["--cluster=slurm"],
            "--cluster slurm: there is no sbatch here: start it on a machine of the cluster",
        ),
        (["--cluster=local", "--slurm=nodes=2"], "--slurm: nodes must be left out"),
        (["--processes=0"], "argument --processes: '0' is not a whole number from 1 on"),
        (["--batch_size=5000"], "--batch_size 5000: there are 1437 training images"),
        (["--benchmark=gone.csv"], "gone.csv' is not a file"),
        (["--data=nowhere", "--dataset=folder"], "nowhere has no folder train"),
    ],
)
def test_a_mistake_is_one_line_and_makes_nothing(tmp_path, arguments, message):
    assert message in refused(tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_other_settings_are_refused(tmp_path):
    done(tmp_path, "--sample=1")
    told = refused(tmp_path, "--sample=1", "--batch_size=9")
    assert "is a run with other settings (batch_size 8 there, 9 asked for)" in told


def test_images_that_are_gone_are_told_whatever_the_processes(tmp_path):
    class_folders(tmp_path / "images/train", (32, 32))
    arguments = ["--dataset=folder", f"--data={tmp_path / 'images'}"]
    done(tmp_path, *arguments, "--sample=1")
    shutil.rmtree(tmp_path / "images")
    done(tmp_path, *arguments, "--sample=1")
    told = refused(tmp_path, *arguments, "--sample=2", "--processes=2")
    assert told.startswith(f"--data {tmp_path / 'images'} has no folder train")


def test_ctrl_c_stops_all_processes(tmp_path):
    command = [sys.executable, "-m", "nasbench201.score_archs", f"--out={tmp_path}", *SMALL]
    command += ["--metrics=snip", "--sample=3000", "--processes=2"]
    journal = tmp_path / NAME / "scores.jsonl"
    code, error = interrupted(command, lambda: journal.exists() and journal.stat().st_size)
    assert (code, error) == (130, "stopped: the same command goes on from here\n")
    scored = [json.loads(line)["architecture"] for line in journal.read_bytes().split(b"\n")[:-1]]
    assert scored == sampled(0, len(scored))  # in their order, without a gap


def test_jobs_change_no_score_and_are_waited_for_whatever_is_asked(tmp_path, monkeypatch):
    arguments = ["--metrics=snip,linear_regions", "--sample=3"]
    done(tmp_path / "one", *arguments)
    cluster = ["--cluster=debug", "--slurm=jobs=2"]
    with stopped_after(3):  # of jobs' journals and the run's: two jobs of two networks and one
        assert (
            commands.run(main, f"--out={tmp_path}", *SMALL, "--metrics=snip", "--sample=3", *cluster)[0]
            == 130
        )
    assert (tmp_path / NAME / "cluster/submission.json").is_file()
    assert "has jobs of --cluster debug: go on with --cluster debug" in refused(tmp_path, *arguments)
    told = done(tmp_path, *arguments, *cluster)
    assert told[0] == "scoring on the CPU, in jobs of 1 process each"
    assert rows(tmp_path / "one" / NAME) == rows(tmp_path / NAME)
    assert not (tmp_path / NAME / "cluster").exists()


def test_a_damaged_journal_is_told(tmp_path):
    done(tmp_path, "--sample=1")
    journal = tmp_path / NAME / "scores.jsonl"
    journal.write_text(journal.read_text().replace('"score": ', '"score": "x", "was": '))
    assert "scores.jsonl is damaged in line 1" in refused(tmp_path, "--sample=1")


def test_every_proxy_is_offered(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in PROXIES)
