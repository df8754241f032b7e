"""Baselines and limits on the command line: every space, what is trained, what goes on, every mistake."""

import importlib
import json
import sys

import pytest

from foresight_ext import SPACES
from foresight_ext.commands import baseline
from foresight_ext.search.largest import LargestRun
from foresight_ext.search.pool import PoolSearch
from nasbench201 import networks_proposal
from nasbench201 import train as nasbench201_train
from nasbench201.space import NASBench201Space
from sota.cnn import networks_proposal_imagenet
from tests import running as commands
from tests.running import class_folders, finished, read, script

DIGITS = ["--dataset=digits", "--device=cpu", "--threads=1"]
NASBENCH201 = ["--space=nas-bench-201", *DIGITS, "--cells=1", "--init_channels=2"]
S5 = ["--space=s5", *DIGITS, "--search_channels=2", "--search_layers=3"]
S5_TRAINED = ["--no_skip_training", "--init_channels=2", "--layers=3", "--epochs=1", "--fast"]
LARGEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def done(out, *arguments, main=baseline.main):
    return commands.done(main, *arguments, f"--out={out}")


def refused(out, *arguments, main=baseline.main):
    told = commands.refused(main, *arguments, f"--out={out}")
    assert not out.exists()
    return told


# ---- the architecture of the most parameters


def test_the_largest_network_is_a_result_that_is_looked_up_and_trained(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(f"arch,cifar10,cifar100,imagenet16-120\n{LARGEST},91,71,41\n")
    arguments = ["max_params", *NASBENCH201, f"--benchmark={table}"]
    told = done(tmp_path / "out", *arguments)
    folder = tmp_path / "out/nas-bench-201/zerocostpt-digits-max_params"
    assert told[-1] == f"run: {folder}"
    assert f"architecture: {LARGEST}" in told
    assert "params: 6,036" in told and "flops: 833,616" in told
    assert any(line.startswith("cifar10: 91.00% test accuracy, rank 1 of 1") for line in told)
    assert read(folder, "best_networks.json")["networks"] == LARGEST
    summary = read(folder, "summary.json")
    assert summary["sizes"] == {"params": 6036, "flops": 833616}
    assert summary["test_accuracy"] == {"cifar10": 91, "cifar100": 71, "imagenet16-120": 41}
    assert (folder / "nas-bench-201-cell.svg").is_file()
    again = done(tmp_path / "out", *arguments)
    assert "finished before, nothing to compute: --force would start afresh" in again
    assert [line for line in again if not line.startswith("finished")] == told
    trained = [f"--arch={folder}", *DIGITS, "--cells=1", "--init_channels=2", "--epochs=1", "--fast"]
    assert done(tmp_path / "out", *trained, main=nasbench201_train.main)[-1].startswith("run: ")


def test_it_is_trained_on_request_within_its_limits(tmp_path):
    arguments = ["max_params", *S5, *S5_TRAINED, "--at_most=params=60%,flops=1.2M"]
    told = done(tmp_path, *arguments)
    folder = tmp_path / "s5/zerocostpt-digits-max_params"
    assert told[-1] == f"run: {folder}/training"
    best, result = read(folder, "best_networks.json"), read(folder, "training/result.json")
    assert result["genotype"] == best["networks"]
    sizes = read(folder, "summary.json")["sizes"]
    assert sizes["flops"] <= 1.2e6
    assert read(folder, "config.json")["settings"]["at_most"] == {"params": "60%", "flops": 1.2e6}
    told = commands.refused(baseline.main, *arguments[:-1], f"--out={tmp_path}")
    assert "is a run with other settings (at_most {'params': '60%', 'flops': 1200000.0} there, None" in told
    assert done(tmp_path, *arguments, "--stage=training")[-1] == f"run: {folder}/training"


def test_a_damaged_summary_is_told(tmp_path):
    done(tmp_path, "max_params", *NASBENCH201)
    summary = tmp_path / "nas-bench-201/zerocostpt-digits-max_params/summary.json"
    summary.write_text("{}")
    told = commands.refused(baseline.main, "max_params", *NASBENCH201, f"--out={tmp_path}")
    assert told == f"{summary} is damaged: delete it, and the same command makes it again"
    summary.unlink()
    done(tmp_path, "max_params", *NASBENCH201)
    assert json.loads(summary.read_text())["sizes"]["params"] == 6036


@pytest.mark.parametrize("name", SPACES)
def test_every_space_has_both_baselines(name, monkeypatch, tmp_path):
    module, told = baseline._COMMANDS.get(name, baseline._ANY)
    kept = []
    monkeypatch.setattr(LargestRun, "run", lambda run: kept.append(run.space.name))
    done(tmp_path, "max_params", f"--space={name}", *DIGITS)
    assert kept == [name]
    given = []
    monkeypatch.setattr(importlib.import_module(module), "main", lambda argv: given.append(argv) or 0)
    done(tmp_path, "random", "--space", name, "--pool_size=7")
    which = [f"--space={name}"] if told else []
    expected = ["--edge_decision=sample", "--skip_training", *which, "--pool_size=7", f"--out={tmp_path}"]
    assert given == [expected]


def test_help_is_that_of_the_space_where_one_is_named(capsys):
    for arguments, program in (
        (["--help"], "foresight_ext.commands.baseline"),
        (["random", "--space=s1", "--help"], "sota.cnn.networks_proposal"),
    ):
        with pytest.raises(SystemExit):
            baseline.main(arguments)
        assert capsys.readouterr().out.startswith(f"usage: python -m {program} ")


def test_the_scripts_start_them(tmp_path):
    for name, folder in (("max_params", "digits-max_params"), ("random", "seed0-digits-jacob-sample")):
        budget = ["--pool_size=2", "--validate_rounds=1", "--batch_size=4"] if name == "random" else []
        command = script(f"baseline_{name}.sh", *NASBENCH201, *budget, "--out=runs")
        result = finished(command, tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
        path = tmp_path.resolve() / f"runs/nas-bench-201/zerocostpt-{folder}"
        assert result.stdout.splitlines()[-1] == f"run: {path}"


# ---- random sampling


SAMPLED = [*NASBENCH201, "--validate_rounds=1", "--batch_size=4"]


def test_samples_are_drawn_without_building_or_reading_anything(tmp_path, monkeypatch):
    """A supernet is built once, for its choices; each distinct network is validated once."""
    built = []
    build = NASBench201Space.build_network
    monkeypatch.setattr(
        NASBench201Space,
        "build_network",
        lambda space, genotype, classes: built.append(genotype) or build(space, genotype, classes),
    )
    monkeypatch.setattr(PoolSearch, "_batches", lambda search: pytest.fail("a minibatch was drawn"))
    monkeypatch.setattr(
        NASBench201Space, "after_member", lambda *given: pytest.fail("a mixing was drawn for nothing")
    )
    told = done(tmp_path, "random", *SAMPLED, "--pool_size=200", "--at_most=params=40%")
    folder = tmp_path / "nas-bench-201/zerocostpt-seed0-digits-jacob-sample"
    pool = [network["genotype"] for network in read(folder, "networks_pool.json")["networks"]]
    assert len(pool) == 200 and len(set(pool)) < 200
    assert built[-len(set(pool)) :] == list(dict.fromkeys(pool))
    assert "search: networks have at most params 2,414" in told
    table = [line for line in told if line.endswith("|") and "x  |" in line]
    assert len(table) == 100
    assert f"and {len(set(pool)) - 100} more, in summary.json" in told
    assert all(size <= 2414 for size in map(_params, dict.fromkeys(pool)))


def _params(genotype):
    network = NASBench201Space(2, 1).build_network(genotype, 10)
    return sum(weight.numel() for weight in network.parameters())


# ---- limits of a search


@pytest.mark.parametrize("order", ["random", "reverse", "global_op_greedy", "global_edge_once", "sample"])
def test_every_network_found_is_within_the_limits_and_a_run_goes_on(tmp_path, order):
    arguments = [*SAMPLED[1:], "--metrics=params", f"--edge_decision={order}", "--pool_size=3"]
    main = networks_proposal.main
    free = done(tmp_path / "free", *arguments, main=main)
    assert not any("networks have at most" in line for line in free)
    limited = [*arguments, "--at_most=params=3k"]
    told = done(tmp_path, *limited, main=main)
    folder = tmp_path / f"nas-bench-201/zerocostpt-seed0-digits-params-{order}"
    pool = [network["genotype"] for network in read(folder, "networks_pool.json")["networks"]]
    assert all(_params(genotype) <= 3000 for genotype in pool)
    assert read(folder, "config.json")["settings"]["at_most"] == {"params": 3000.0}
    at_first = tmp_path / "free" / folder.relative_to(tmp_path)
    assert "at_most" not in read(at_first, "config.json")["settings"]
    # killed in the second member, it goes on to the same
    journal, whole = folder / "search.jsonl", (folder / "search.jsonl").read_bytes()
    journal.write_bytes(b"".join(whole.splitlines(keepends=True)[:9]))
    (folder / "networks_pool.json").unlink()
    (folder / "best_networks.json").unlink()
    again = done(tmp_path, *limited, main=main)
    assert [line for line in again if line.startswith("architecture")] == [
        line for line in told if line.startswith("architecture")
    ]
    assert [network["genotype"] for network in read(folder, "networks_pool.json")["networks"]] == pool


def test_imagenets_search_has_limits(tmp_path):
    class_folders(tmp_path / "data/train", (40, 40), images=8)
    arguments = [f"--data={tmp_path / 'data'}", "--crop_size=32", "--search_channels=2", "--search_layers=3"]
    arguments += ["--space=s2", "--pool_size=1", "--validate_rounds=1", "--batch_size=4", "--device=cpu"]
    told = done(tmp_path, *arguments, "--at_most=flops=80%", main=networks_proposal_imagenet.main)
    assert any(line.startswith("search: networks have at most flops ") for line in told)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--at_most=parms=1"], "--at_most: there is no size 'parms': choose from params, flops"),
        (["--at_most=3M"], "argument --at_most: '3M' is no limit: it must be such as params=3M"),
        (["--at_most=params=1,params=2"], "argument --at_most: 'params' comes twice in 'params=1,params=2'"),
        (["--at_most=params=3X"], "'params=3X' is no limit: it must be a number above 0 such as params=3M"),
        (["--at_most=flops=0%"], "'flops=0%' is no limit"),
        (["--at_most=flops"], "'flops' is no limit"),
        (["--at_most=params=1k"], "--at_most params=1000.0: the smallest architecture has 1,332"),
        (["--at_most=params=5%"], "--at_most params=5%: the smallest architecture has 1,332"),
        (
            ["--max_params", "--stage=search"],
            "--max_params searches and validates nothing: leave it out, or ",
        ),
        (
            ["--max_params", "--pool=x"],
            "--max_params searches and validates nothing: leave it out, or --pool",
        ),
        (
            ["--at_most=params=3k", "--pool=x", "--stage=validation"],
            "--at_most limits a search: leave it out",
        ),
    ],
    ids=str,
)
def test_a_mistake_is_told_at_once(tmp_path, arguments, message):
    assert message in refused(tmp_path / "out", *SAMPLED[1:], *arguments, main=networks_proposal.main)


def test_a_baseline_of_what_is_told(tmp_path):
    assert "choose from s" in refused(tmp_path / "out", "random", "--space=s9")
    assert "invalid choice: 'most'" in refused(tmp_path / "out", "most", "--space=s5")
    told = refused(tmp_path / "out", "max_params", *NASBENCH201, "--at_most=params=1k")
    assert told == "--at_most params=1000.0: the smallest architecture has 1,332"
    file = importlib.util.find_spec("foresight_ext.commands.baseline").origin
    result = finished([sys.executable, file], tmp_path)
    told = "error: start it as python -m foresight_ext.commands.baseline\n"
    assert (result.returncode, result.stderr) == (2, told)
