"""Tables of searches by a benchmark: their figures, and what is refused."""

import json
import subprocess
import sys
import time

import psutil
import pytest

from foresight_ext.commands.reproduce import _rows
from nasbench201.reproduce import main
from sota.nasbench_macro.reproduce import main as macro
from tests import PROJECT_ROOT
from tests.running import TINY_NASBENCH201, done, interrupted, read, refused

FEW = ["--seeds=0,1", "--pool_size=1,2", "--validate_rounds=1"]


@pytest.fixture
def benchmark(tmp_path):
    """A benchmark in which the largest architecture, which synflow finds, has 90% and others 80%."""
    from nasbench201.score_archs import sampled

    largest = (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    )
    lines = ["arch,cifar10", *(f"{one},{90 if one == largest else 80}" for one in sampled(0, 15625))]
    path = tmp_path / "nasbench201.csv"
    path.write_text("\n".join(lines))
    return f"--benchmark={path}"


def test_a_row_is_the_mean_over_seeds():
    head = {"proxy": "jacob", "edge_decision": "random", "N": 10, "V": 100}
    seconds = {"search seconds": 60.0, "validation seconds": 1.0}
    records = [
        {**head, "seed": seed, "cifar10 accuracy": accuracy, "cifar10 rank": rank, **seconds}
        for seed, accuracy, rank in ((0, 93.0, 10), (1, 94.0, 30))
    ]
    [row] = _rows(records)
    assert row["cifar10 error, %"] == "6.50 ± 0.71"  # half of the difference times the root of two
    assert (row["rank"], row["seeds"], row["search"]) == ("20", "2", "1 min 00 s")
    [alone] = _rows(records[:1])
    assert alone["cifar10 error, %"] == "7.00"


def test_table_of_nasbench201(tmp_path, benchmark):
    out = f"--out={tmp_path / 'runs'}"
    arguments = [out, *TINY_NASBENCH201, *FEW, benchmark, "--metrics=synflow", "--edge_decision=order,sample"]
    told = done(main, *arguments)
    assert told[-1].startswith("tables: reproduced.md, ")
    records = json.loads((tmp_path / "runs/nas-bench-201/zerocostpt-reproduced/reproduced.json").read_text())
    assert [(one["edge_decision"], one["seed"], one["N"], one["V"]) for one in records] == [
        (order, seed, *size) for order in ("order", "sample") for seed in (0, 1) for size in ((1, 0), (2, 1))
    ]
    scored = [one for one in records if one["edge_decision"] == "order"]
    assert {(one["cifar10 accuracy"], one["cifar10 rank"]) for one in scored} == {(90.0, 1)}
    assert "| synflow | order | 2 | 1 | 2 | 10.00 ± 0.00 | 1 |" in "\n".join(told)
    again = done(main, *arguments)
    assert sum(line.startswith("finished before") for line in again) == 8  # searches and validations
    assert again[-8:] == told[-8:]


def test_stopped_and_killed_it_goes_on(tmp_path, benchmark, monkeypatch):
    """In processes of this machine first, then in jobs of a cluster; another run has neither."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))
    asked = [*TINY_NASBENCH201, "--seeds=0,1", "--pool_size=10", "--validate_rounds=1", benchmark]
    runs = tmp_path / "runs/nas-bench-201"
    command = [sys.executable, "-m", "nasbench201.reproduce", f"--out={tmp_path / 'runs'}", *asked]

    def decided():
        return [len(path.read_bytes().splitlines()) for path in runs.glob("*/search.jsonl")]

    code, error = interrupted([*command, "--processes=2"], lambda: sum(decided()) > 1)
    assert (code, error) == (130, "stopped: the same command goes on from here\n")
    before = sum(decided())
    assert 1 < before < 120
    cluster = ["--cluster=local", "--slurm=jobs=2"]
    with subprocess.Popen(
        [*command, *cluster], cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True
    ) as caller:
        while sum(decided()) < before + 2:
            time.sleep(0.01)
            assert caller.poll() is None
        for job in read(runs / "zerocostpt-reproduced/cluster", "submission.json")["jobs"]:
            for process in psutil.Process(int(job)).children():
                process.kill()
        _, error = caller.communicate(timeout=60)
    assert caller.returncode == 2
    assert error.startswith("error: 2 of 2 jobs died (1, 2), their logs are in ")
    assert sum(decided()) < 120
    finished = subprocess.run(command, cwd=PROJECT_ROOT, check=True, capture_output=True)
    assert b"tables: reproduced.md" in finished.stdout
    done(main, f"--out={tmp_path / 'alone'}", *asked)

    def found(folder):
        records = read(folder / "nas-bench-201/zerocostpt-reproduced", "reproduced.json")
        return [{name: one for name, one in record.items() if "seconds" not in name} for record in records]

    assert found(tmp_path / "runs") == found(tmp_path / "alone")


def test_table_of_nasbench_macro(tmp_path):
    from itertools import product

    path = tmp_path / "macro.json"
    names = ("".join(digits) for digits in product("012", repeat=8))
    path.write_text(json.dumps({name: {"mean_acc": 50 + int(name, 3) / 200} for name in names}))
    small = ["--dataset=digits", "--init_channels=2", "--batch_size=8", "--seeds=5", "--pool_size=1"]
    told = done(macro, f"--out={tmp_path}", f"--benchmark={path}", *small)
    [record] = json.loads((tmp_path / "nas-bench-macro/zerocostpt-reproduced/reproduced.json").read_text())
    assert record["cifar10 accuracy"] == pytest.approx(50 + int(record["genotype"], 3) / 200)
    assert told[-5].startswith("| jacob | random | 1 | - | 1 |")


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--seeds=3-1"], "--seeds: '3-1' is no range of seeds"),
        (["--seeds=a"], "--seeds: 'a' is not a whole number from 0"),
        (["--pool_size=5,5"], "--pool_size: 5 comes twice"),
        (["--validate_rounds=0"], "--validate_rounds: '0' is not a whole number from 1"),
        (["--edge_decision=order,backwards"], "--edge_decision: "),
        (["--metrics=jacob,none"], "--metrics"),
    ],
)
def test_mistakes(arguments, told):
    assert told in refused(main, *arguments)


def test_needs_a_benchmark(tmp_path, monkeypatch):
    monkeypatch.setattr("nasbench201.benchmark.DATA_FOLDER", tmp_path)
    told = refused(main, f"--out={tmp_path / 'runs'}", *TINY_NASBENCH201)
    assert told.startswith("no benchmark, so no test accuracies: put NAS-Bench-201")
    assert not (tmp_path / "runs").exists()
