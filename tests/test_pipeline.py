"""Whole runs on digits: what they leave, how they go on after a kill, what they refuse and what they say."""

import fcntl
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from foresight_ext import search
from foresight_ext.datasets import DATASETS
from foresight_ext.files import PROJECT_ROOT
from foresight_ext.measures import PROXIES
from foresight_ext.orders import ORDERS
from nasbench201 import benchmark
from nasbench201.genotype import EDGE_NAMES, OPERATIONS, format_genotype, parse_genotype
from nasbench201.networks_proposal import main

MEMBERS, ROUNDS = 2, 30
DECISIONS = MEMBERS * len(EDGE_NAMES)
SCORES = MEMBERS * ROUNDS
FIXED = ["--dataset=digits", "--cells=1", "--init_channels=4", "--threads=1", "--device=cpu"]
SMALL = [*FIXED, "--batch_size=8", f"--pool_size={MEMBERS}", f"--validate_rounds={ROUNDS}"]
TINY = [*FIXED, "--batch_size=8", "--pool_size=1", "--validate_rounds=1"]
NAME = "nas-bench-201/zerocostpt-seed0-digits-jacob-random"
POOL, BEST = "networks_pool.json", "best_networks.json"
OTHER = format_genotype(["skip_connect"] * 6)


@dataclass
class Run:
    """What a command came to: exit code, standard output, standard error; `folder` is what it printed."""

    code: int
    out: str
    err: str

    @property
    def folder(self):
        last = self.out.splitlines()[-1]
        assert last.startswith("run: /")
        return Path(last.removeprefix("run: "))

    def says(self, text):
        """How many lines hold a text."""
        return sum(text in line for line in self.out.splitlines())


def run(out, *arguments):
    """The pipeline in this process, with its run folders in `out`."""
    threads = torch.get_num_threads()
    stdout, stderr = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            code = main([f"--out={out}", *arguments])
    finally:
        torch.set_num_threads(threads)
    return Run(code, stdout.getvalue(), stderr.getvalue())


def done(out, *arguments):
    """A run that must succeed and complain of nothing."""
    result = run(out, *arguments)
    assert result.code == 0, result.err
    assert result.err == ""
    return result


def refused(out, *arguments):
    """The one line of a run that must be refused."""
    result = run(out, *arguments)
    assert result.code == 2
    assert re.fullmatch(r"error: [^\n]+\n", result.err)
    return result.err.removeprefix("error: ").strip()


def lines(path):
    """The whole lines of a journal; none while there is no file."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def journal(folder, stage):
    return [json.loads(line) for line in lines(folder / f"{stage}.jsonl")]


def without_seconds(entries):
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in entries]


def content(folder):
    """Every file of a folder but the log, which each command adds to."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "log.txt"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def read(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(autouse=True)
def no_benchmark_lies_about(tmp_path_factory, monkeypatch):
    """What the developer has in data/ has no part in these tests."""
    monkeypatch.setattr(benchmark, "DATA_FOLDER", tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A run from start to end. Tests read its folder, and copy it before they change anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "DATA_FOLDER", tmp_path_factory.mktemp("data"))
        return done(tmp_path_factory.mktemp("out"), *SMALL)


@pytest.fixture
def out(uninterrupted, tmp_path):
    """A folder for --out with a copy of the finished run."""
    shutil.copytree(uninterrupted.folder, tmp_path / "out" / NAME)
    return tmp_path / "out"


@pytest.fixture
def calls(monkeypatch):
    """Counts what is computed: decisions of the search, minibatches of the validation."""
    counted = {"decisions": 0, "minibatches": 0}

    def counting(what, function):
        def counter(*arguments):
            counted[what] += 1
            return function(*arguments)

        return counter

    monkeypatch.setattr(search, "operation_scores", counting("decisions", search.operation_scores))
    proxy = PROXIES.get("jacob")
    monkeypatch.setattr(proxy, "score", counting("minibatches", proxy.score))
    return counted


# ---- what a run leaves


def test_config_tells_every_option_versions_revision_and_machine(uninterrupted, capsys):
    config = read(uninterrupted.folder, "config.json")
    with pytest.raises(SystemExit):
        main(["--help"])
    second_names = {"help", "metric", "no_skip_training"}
    options = set(re.findall(r"--([a-z_]+)", capsys.readouterr().out)) - second_names
    told = {**config["settings"], **config["other_options"]}
    assert set(told) == options | {"search_space"}
    assert not set(config["settings"]) & set(config["other_options"])
    given = {"batch_size": 8, "pool_size": MEMBERS, "validate_rounds": ROUNDS, "cells": 1, "init_channels": 4}
    assert {name: told[name] for name in given} == given
    assert (told["seed"], told["dataset"], told["metrics"], told["edge_decision"]) == (
        0,
        "digits",
        "jacob",
        "random",
    )
    assert told["data"] == str(PROJECT_ROOT / "data")
    assert told["out"] == str(uninterrupted.folder.parents[1])
    assert (told["threads"], told["device"], told["force"], told["stage"]) == (1, "cpu", False, "all")
    environment = config["environment"]
    assert environment["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", environment["git_revision"] or "0" * 40)
    assert environment["machine"]["device"] == "the CPU"


def test_pool_and_best_have_the_official_layout(uninterrupted):
    pool = read(uninterrupted.folder, POOL)
    assert list(pool) == ["search_space", "dataset", "pool_size", "networks"]
    assert (pool["search_space"], pool["dataset"], pool["pool_size"]) == ("nas-bench-201", "digits", MEMBERS)
    assert [list(network) for network in pool["networks"]] == [["id", "genotype"]] * MEMBERS
    assert [network["id"] for network in pool["networks"]] == ["0", "1"]
    genotypes = [network["genotype"] for network in pool["networks"]]
    assert all(len(parse_genotype(genotype)) == 6 for genotype in genotypes)

    best = read(uninterrupted.folder, BEST)
    assert list(best) == ["search_space", "dataset", "networks"]
    assert (best["search_space"], best["dataset"]) == ("nas-bench-201", "digits")
    assert best["networks"] in genotypes


def test_the_pool_is_what_the_decisions_say(uninterrupted):
    genotypes = [network["genotype"] for network in read(uninterrupted.folder, POOL)["networks"]]
    entries = journal(uninterrupted.folder, "search")
    assert [entry["member"] for entry in entries] == [0] * 6 + [1] * 6
    for member, genotype in enumerate(genotypes):
        decided = {entry["choice"]: entry["candidate"] for entry in entries if entry["member"] == member}
        assert format_genotype([decided[edge] for edge in EDGE_NAMES]) == genotype
    for entry in entries:
        assert len(entry["scores"]) == len(OPERATIONS)
        assert entry["candidate"] == OPERATIONS[entry["scores"].index(min(entry["scores"]))]


def test_summary(uninterrupted):
    folder = uninterrupted.folder
    summary = read(folder, "summary.json")
    keys = ["search_space", "dataset", "seed", "metrics", "edge_decision", "genotype", "scores", "seconds"]
    assert list(summary) == [*keys, "test_accuracy", "rank"]
    assert [summary[key] for key in keys[:5]] == ["nas-bench-201", "digits", 0, "jacob", "random"]
    by_genotype = defaultdict(list)
    for entry in journal(folder, "validation"):
        by_genotype[entry["genotype"]].append(entry["score"])
    assert [len(scores) for scores in by_genotype.values()] == [ROUNDS] * MEMBERS
    assert summary["scores"] == {genotype: math.fsum(scores) for genotype, scores in by_genotype.items()}
    assert list(summary["scores"]) == [network["genotype"] for network in read(folder, POOL)["networks"]]
    assert summary["genotype"] == max(summary["scores"], key=summary["scores"].get)
    assert summary["genotype"] == read(folder, BEST)["networks"]
    assert list(summary["seconds"]) == ["search", "validation"]
    for stage, seconds in summary["seconds"].items():
        total = sum(entry["seconds"] for entry in journal(folder, stage))
        assert seconds == pytest.approx(total, abs=1e-3)
        assert seconds > 0
    assert summary["test_accuracy"] is None
    assert summary["rank"] is None


def scalars(folder):
    """(tag, step) -> set of values, of all TensorBoard files."""
    board = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0, "images": 0}).Reload()
    found = defaultdict(set)
    for tag in board.Tags()["scalars"]:
        for event in board.Scalars(tag):
            found[tag, event.step].add(event.value)
    return found, board


def expected_scalars(folder):
    expected = {}
    for entry in journal(folder, "search"):
        for operation, score in zip(OPERATIONS, entry["scores"]):
            tag = f"operation_scores/{entry['choice']}/{operation}"
            expected[tag, entry["member"]] = {float(np.float32(score))}
    for index, total in enumerate(read(folder, "summary.json")["scores"].values()):
        expected["pool_scores", index] = {float(np.float32(total))}
    return expected


def test_tensorboard_has_operation_scores_pool_scores_and_the_cell(uninterrupted):
    found, board = scalars(uninterrupted.folder)
    assert len(found) == DECISIONS * len(OPERATIONS) + MEMBERS
    assert found == expected_scalars(uninterrupted.folder)
    assert board.Tags()["images"] == ["NAS-Bench-201 cell"]
    [picture] = board.Images("NAS-Bench-201 cell")
    with Image.open(io.BytesIO(picture.encoded_image_string)) as image:
        assert image.width > 100
        assert len(np.unique(np.asarray(image.convert("L")))) > 10  # not blank


def test_pictures_of_the_cell(uninterrupted):
    operations = parse_genotype(read(uninterrupted.folder, BEST)["networks"])
    svg = (uninterrupted.folder / "nas-bench-201-cell.svg").read_text()
    for operation in set(operations) - {"none"}:
        assert svg.count(f">{operation}<") == operations.count(operation)
    with Image.open(uninterrupted.folder / "nas-bench-201-cell.png") as image:
        image.verify()
        assert image.format == "PNG"


def test_what_is_printed_is_in_the_log_with_the_time(uninterrupted):
    printed = uninterrupted.out.splitlines()
    assert printed[0] == "nas-bench-201 on digits, seed 0, on the CPU"
    assert printed[-1] == f"run: {uninterrupted.folder}"
    assert "search: 2 discretisations of 6 decisions" in printed
    assert "validation: 2 distinct networks, 30 minibatches each" in printed
    genotypes = [network["genotype"] for network in read(uninterrupted.folder, POOL)["networks"]]
    scores = read(uninterrupted.folder, "summary.json")["scores"]
    for member, genotype in enumerate(genotypes):
        assert f"search: member {member} is {genotype}" in printed
        assert f"validation: {scores[genotype]:.4f} for {genotype}" in printed
        assert f"{scores[genotype]:12.4f}     1x  {genotype}" in printed
    assert f"architecture: {read(uninterrupted.folder, BEST)['networks']}" in printed
    assert uninterrupted.says("Traceback") == 0
    log = (uninterrupted.folder / "log.txt").read_text().splitlines()
    assert [re.sub(r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "", line) for line in log] == printed[:-1]


def test_the_scores_are_listed_best_first(uninterrupted):
    listed = [float(score) for score in re.findall(r"^ *([\d.]+) +\dx  \|", uninterrupted.out, re.M)]
    assert len(listed) == MEMBERS
    assert listed == sorted(listed, reverse=True)


def test_equal_networks_of_the_pool_are_validated_once(out, calls):
    folder = out / NAME
    pool = read(folder, POOL)
    second = pool["networks"][1]["genotype"]
    pool["networks"][0]["genotype"] = second
    (folder / POOL).write_text(json.dumps(pool))
    for name in (BEST, "validation.jsonl", "summary.json"):
        (folder / name).unlink()
    result = done(out, *SMALL, "--stage=validation")
    assert calls == {"decisions": 0, "minibatches": ROUNDS}
    assert result.says("validation: 1 distinct network, 30 minibatches each") == 1
    assert re.search(rf" 2x  {re.escape(second)}$", result.out, re.M)
    assert read(folder, BEST)["networks"] == second


# ---- killed at any moment


# For each line it reads: starts the run of its arguments in a new process, prints that one's number, waits
# for its end and prints its exit code.
STARTER = """
import os, sys
import foresight_ext.pipeline, nasbench201.space, torch.utils.tensorboard
from nasbench201.networks_proposal import main

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.stdout = open(os.devnull, "w")
        os._exit(main(sys.argv[1:]))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_kill_9_again_and_again_changes_nothing(uninterrupted, tmp_path):
    folder = tmp_path / NAME
    kept = {"search": [], "validation": []}
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, f"--out={tmp_path}", *SMALL],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as starter:
        for stage, count in [("search", 1), ("search", 4), ("search", 8), ("validation", 5)]:
            starter.stdin.write(b"go\n")
            child = int(starter.stdout.readline())
            deadline = time.monotonic() + 30
            while len(lines(folder / f"{stage}.jsonl")) < count and time.monotonic() < deadline:
                time.sleep(0.002)
            os.kill(child, signal.SIGKILL)
            assert int(starter.stdout.readline()) == -signal.SIGKILL
            for name, before in kept.items():
                now = lines(folder / f"{name}.jsonl")
                assert now[: len(before)] == before
                kept[name] = now
            assert len(kept[stage]) >= count
            assert (folder / POOL).exists() == (stage == "validation")
            assert not (folder / BEST).exists()
    result = done(tmp_path, *SMALL)
    before = len(kept["validation"])
    assert 5 <= before < SCORES
    assert f"validation: going on after {before} of {SCORES} minibatches" in result.out.splitlines()
    assert result.says("search:") == 0  # that stage had been finished
    assert lines(folder / "search.jsonl") == kept["search"]
    assert lines(folder / "validation.jsonl")[:before] == kept["validation"]
    for name in (POOL, BEST):
        assert (folder / name).read_bytes() == (uninterrupted.folder / name).read_bytes()
    assert read(folder, "summary.json")["scores"] == read(uninterrupted.folder, "summary.json")["scores"]


# what was there at the kill: lines of both journals, the half-written end of the later one, the pool's file
KILLS = [
    (0, 0, b"", False),
    (0, 0, b'{"mem', False),
    (1, 0, b"", False),
    (6, 0, b"\0\0\0\0", False),
    (11, 0, b'{"member": 1, "choice": "2<-0", "candidate": "none"', False),
    (DECISIONS, 0, b"", False),
    (DECISIONS, 0, b'{"genotype": ', True),
    (DECISIONS, ROUNDS + 7, b'{"genotype": "|', True),
    (DECISIONS, ROUNDS, b"", True),
    (DECISIONS, SCORES, b"", True),
]


@pytest.mark.parametrize("decisions, scores, half, pool", KILLS)
def test_goes_on_where_it_was(uninterrupted, out, calls, decisions, scores, half, pool):
    folder = out / NAME
    kept = {"search": decisions, "validation": scores}
    for stage, count in kept.items():
        path = folder / f"{stage}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines(path)[:count]))
    with (folder / ("validation.jsonl" if pool else "search.jsonl")).open("ab") as file:
        file.write(half)
    shutil.rmtree(folder / "tensorboard")  # nothing had been written out
    for name in [BEST, "summary.json", "nas-bench-201-cell.svg"] + ([] if pool else [POOL]):
        (folder / name).unlink()

    result = done(out, *SMALL)
    assert calls == {"decisions": DECISIONS - decisions, "minibatches": SCORES - scores}
    going_on = f"search: going on after {decisions} of {DECISIONS} decisions"
    assert result.says(going_on) == (decisions > 0 and not pool)
    for name in (POOL, BEST):
        assert (folder / name).read_bytes() == (uninterrupted.folder / name).read_bytes()
    for stage, count in kept.items():
        now = lines(folder / f"{stage}.jsonl")
        then = lines(uninterrupted.folder / f"{stage}.jsonl")
        assert now[:count] == then[:count]
        assert without_seconds(journal(folder, stage)) == without_seconds(
            journal(uninterrupted.folder, stage)
        )
    assert (folder / "nas-bench-201-cell.svg").is_file()
    found, board = scalars(folder)
    expected = expected_scalars(folder)
    if pool:  # the search had been finished, and its TensorBoard file is its own
        expected = {where: value for where, value in expected.items() if where[0] == "pool_scores"}
    assert found == expected
    assert board.Tags()["images"] == ["NAS-Bench-201 cell"]


@pytest.mark.parametrize(
    "order, metrics",
    [*[(order, "jacob") for order in ORDERS], *[("random", name) for name in PROXIES if name != "jacob"]],
)
def test_every_order_and_every_proxy_runs_and_goes_on(order, metrics, tmp_path, monkeypatch):
    monkeypatch.setattr(PROXIES.get("zen"), "repeats", 1)  # 32 take most of a minute
    arguments = [*TINY, "--seed=3", f"--edge_decision={order}", f"--metrics={metrics}"]
    folder = done(tmp_path, *arguments).folder
    assert folder == tmp_path / f"nas-bench-201/zerocostpt-seed3-digits-{metrics}-{order}"
    summary = read(folder, "summary.json")
    assert (summary["seed"], summary["metrics"], summary["edge_decision"]) == (3, metrics, order)
    [network] = read(folder, POOL)["networks"]
    assert network["genotype"] == summary["genotype"] == read(folder, BEST)["networks"]
    entries = journal(folder, "search")
    assert sorted(entry["choice"] for entry in entries) == sorted(EDGE_NAMES)
    assert all((entry["scores"] is None) == (order == "sample") for entry in entries)

    before = (folder / POOL).read_bytes()
    (folder / POOL).unlink()
    path = folder / "search.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines(path)[:3]))
    done(tmp_path, *arguments, "--stage=search")
    assert (folder / POOL).read_bytes() == before
    assert without_seconds(journal(folder, "search")) == without_seconds(entries)


# ---- finished, other settings, --force, --stage


def test_a_finished_run_is_reported_not_computed_again(uninterrupted, out, calls, monkeypatch):
    monkeypatch.setitem(DATASETS._entries, "digits", lambda request: pytest.fail("the images are gone"))
    before = content(out / NAME)
    again = done(out, *SMALL)
    assert calls == {"decisions": 0, "minibatches": 0}
    assert content(out / NAME) == before
    assert again.says("finished before, nothing to compute") == 1

    def report(printed):
        return printed[printed.index("\narchitecture: ") :].replace(
            str(out), str(uninterrupted.folder.parents[1])
        )

    assert report(again.out) == report(uninterrupted.out)


def test_the_last_line_is_the_absolute_folder(out, monkeypatch):
    monkeypatch.chdir(out.parent)
    result = done("out", *SMALL)
    assert result.out.endswith(f"\nrun: {out / NAME}\n")


def test_a_summary_or_a_picture_that_is_gone_is_made_again(out, calls):
    before = content(out / NAME)
    for name in ("summary.json", "nas-bench-201-cell.svg", "nas-bench-201-cell.png"):
        (out / NAME / name).unlink()
    done(out, *SMALL)
    assert content(out / NAME) == before
    assert calls == {"decisions": 0, "minibatches": 0}


def test_validation_is_done_again_where_its_journal_is_gone(out, calls):
    before = read(out / NAME, "summary.json")["scores"]
    (out / NAME / "validation.jsonl").unlink()
    done(out, *SMALL)
    assert calls == {"decisions": 0, "minibatches": SCORES}
    assert read(out / NAME, "summary.json")["scores"] == before


def test_other_settings_are_refused_with_the_difference_and_force_overwrites(out, calls):
    before = content(out / NAME)
    other = [*SMALL, "--pool_size=1", "--validate_rounds=2"]
    assert refused(out, *other) == (
        f"{out / NAME} is a run with other settings (pool_size 2 there, 1 asked for; validate_rounds 30 "
        "there, 2 asked for): use --save NAME for a run beside it, or --force to overwrite it"
    )
    assert content(out / NAME) == before
    assert calls == {"decisions": 0, "minibatches": 0}

    done(out, *other, "--force")
    assert calls == {"decisions": 6, "minibatches": 2}
    assert read(out / NAME, "config.json")["settings"]["pool_size"] == 1
    assert len(read(out / NAME, POOL)["networks"]) == 1
    assert len(read(out / NAME, "summary.json")["scores"]) == 1
    assert len(scalars(out / NAME)[0]) == 6 * len(OPERATIONS) + 1


def test_options_that_do_not_change_the_result_are_not_settings(out, calls):
    done(out, *SMALL, "--threads=2", "--workers=0", "--device=auto", "--stage=validation")
    assert calls == {"decisions": 0, "minibatches": 0}


def test_force_computes_the_same_again(out, calls):
    before = content(out / NAME)
    done(out, *SMALL, "--force", "--stage=search")
    assert calls == {"decisions": DECISIONS, "minibatches": 0}
    assert (out / NAME / POOL).read_bytes() == before[POOL]
    assert not (out / NAME / BEST).exists()
    assert not (out / NAME / "validation.jsonl").exists()


def test_a_mistake_with_force_deletes_nothing(out):
    before = content(out / NAME)
    for mistake in (["--stage=validation"], ["--gpu=1"], ["--mean=0,0,0"], ["--benchmark=nowhere.csv"]):
        refused(out, *SMALL, "--force", *mistake)
    assert content(out / NAME) == before


def test_stage_search_then_stage_validation(uninterrupted, tmp_path, calls, monkeypatch):
    result = done(tmp_path, *SMALL, "--stage=search")
    folder = tmp_path / NAME
    assert result.folder == folder
    assert f"the pool: {folder / POOL}" in result.out.splitlines()
    assert calls == {"decisions": DECISIONS, "minibatches": 0}
    assert not (folder / BEST).exists()
    with monkeypatch.context() as patch:  # that stage alone is finished, too
        patch.setitem(DATASETS._entries, "digits", lambda request: pytest.fail("the images are gone"))
        assert done(tmp_path, *SMALL, "--stage=search").says("finished before") == 1

    assert done(tmp_path, *SMALL, "--stage=validation").folder == folder
    assert calls == {"decisions": DECISIONS, "minibatches": SCORES}
    for name in (POOL, BEST):
        assert (folder / name).read_bytes() == (uninterrupted.folder / name).read_bytes()


def test_a_folder_in_use_is_refused(out):
    before = content(out / NAME)
    with (out / NAME / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "is in use by another process" in refused(out, *SMALL)
    assert content(out / NAME) == before


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / NAME).mkdir(parents=True)
    (tmp_path / NAME / "thesis.tex").touch()
    message = f"{tmp_path / NAME} holds something else than a run: use --save NAME or --out DIR"
    assert refused(tmp_path, *SMALL) == message
    assert refused(tmp_path, *SMALL, "--force") == message
    assert [entry.name for entry in (tmp_path / NAME).iterdir()] == ["thesis.tex"]


# ---- damaged files


def test_a_damaged_config_is_told(out):
    (out / NAME / "config.json").write_text('{"settings"')
    assert refused(out, *SMALL) == (
        f"{out / NAME}/config.json is damaged: use --force to start afresh, or --save NAME"
    )


@pytest.mark.parametrize(
    "stage, damage",
    [
        ("search", lambda entry: None),
        ("search", lambda entry: "not an object"),
        ("search", lambda entry: {**entry, "choice": "4<-0"}),
        ("search", lambda entry: {**entry, "candidate": "sep_conv_3x3"}),
        ("search", lambda entry: {**entry, "scores": ["high"] * 5}),
        ("search", lambda entry: {**entry, "scores": 3}),
        ("search", lambda entry: {**entry, "member": []}),
        ("search", lambda entry: {key: entry[key] for key in entry if key != "seconds"}),
        ("validation", lambda entry: {**entry, "genotype": OTHER}),
        ("validation", lambda entry: {**entry, "score": None}),
    ],
)
def test_a_damaged_line_of_a_journal_is_told(out, stage, damage):
    folder = out / NAME
    for name in (POOL, BEST) if stage == "search" else (BEST,):
        (folder / name).unlink()
    path = folder / f"{stage}.jsonl"
    text = lines(path)
    text[4] = json.dumps(damage(json.loads(text[4]))).encode()
    path.write_bytes(b"".join(line + b"\n" for line in text))
    before = content(folder)
    assert refused(out, *SMALL) == f"{path} is damaged in line 5: --force starts the run afresh"
    assert {**content(folder), **before} == content(folder)  # TensorBoard may have made a file


def test_a_decision_taken_twice_is_told(out):
    path = out / NAME / "search.jsonl"
    text = lines(path)
    path.write_bytes(b"".join(line + b"\n" for line in [*text[:3], text[1], *text[4:]]))
    (out / NAME / POOL).unlink()
    assert refused(out, *SMALL) == f"{path} is damaged in line 4: --force starts the run afresh"


@pytest.mark.parametrize("name", [POOL, BEST])
def test_a_damaged_result_is_told_and_made_again_once_deleted(uninterrupted, out, calls, name):
    path = out / NAME / name
    for text in ("", "[]", "{}", '{"networks": 3}', '{"networks": [{"id": "0"}]}'):
        path.write_text(text)
        assert refused(out, *SMALL) == f"{path} is damaged: delete it, and the same command makes it again"
    path.unlink()
    done(out, *SMALL)
    assert path.read_bytes() == (uninterrupted.folder / name).read_bytes()
    assert calls == {"decisions": 0, "minibatches": 0}


def test_scores_that_decide_nothing_end_the_run_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(PROXIES.get("jacob"), "score", lambda network, batch: math.nan)
    message = refused(tmp_path, *TINY)
    assert message == "the proxy gave no score to choose by (all NaN or infinite): [nan]"
    assert journal(tmp_path / NAME, "validation")[0]["score"] == "nan"
    assert "no score to choose by" in refused(tmp_path, *TINY)  # read back, and said again


# ---- benchmark


def table(path, rows):
    """A benchmark CSV; returns the option."""
    path.write_text("arch,cifar10,cifar100,imagenet16-120\n" + "".join(f"{row}\n" for row in rows))
    return f"--benchmark={path}"


def test_with_a_benchmark_accuracy_and_rank_are_told(out, tmp_path):
    best = read(out / NAME, BEST)["networks"]
    others = [format_genotype([operation] * 6) for operation in ("none", "skip_connect", "avg_pool_3x3")]
    rows = [f"{best},93.5,70,40.25"]
    rows += [f"{arch},{values}" for arch, values in zip(others, ["94,70,30", "10,72.5,20", "93.5,71,10"])]
    result = done(out, *SMALL, table(tmp_path / "bench.csv", rows))
    summary = read(out / NAME, "summary.json")
    assert summary["test_accuracy"] == {"cifar10": 93.5, "cifar100": 70.0, "imagenet16-120": 40.25}
    assert summary["rank"] == {"cifar10": 2, "cifar100": 3, "imagenet16-120": 1}
    printed = result.out.splitlines()
    assert "cifar10: 93.50% test accuracy, rank 2 of 4, 0.50 below the best" in printed
    assert "cifar100: 70.00% test accuracy, rank 3 of 4, 2.50 below the best" in printed
    assert "imagenet16-120: 40.25% test accuracy, rank 1 of 4, 0.00 below the best" in printed
    assert result.says("no benchmark") == 0
    assert result.says("bench.csv' holds 4 of 15625 architectures: ranks are among those") == 1


def test_without_a_benchmark_that_is_said_at_the_start_and_at_the_end(uninterrupted):
    printed = uninterrupted.out.splitlines()
    said = [index for index, line in enumerate(printed) if line.startswith("no benchmark: ")]
    assert len(said) == 2
    assert said[0] == 1
    assert said[1] > printed.index(f"architecture: {read(uninterrupted.folder, BEST)['networks']}")
    for index in said:
        assert "NAS-Bench-201-v1_1-096897.pth" in printed[index]
        assert "--benchmark FILE" in printed[index]


def test_an_architecture_that_the_benchmark_lacks_is_said(out, tmp_path):
    result = done(out, *SMALL, table(tmp_path / "bench.csv", [f"{OTHER},1,2,3"]))
    summary = read(out / NAME, "summary.json")
    assert summary["test_accuracy"] is None
    assert summary["rank"] is None
    assert result.says(f"no test accuracy and no rank: benchmark '{tmp_path}/bench.csv' lacks '|") == 1


def test_a_damaged_benchmark_is_refused_before_anything_is_made(tmp_path):
    option = table(tmp_path / "bench.csv", [f"{OTHER},1,2"])
    assert "row 1 has 3 cells" in refused(tmp_path / "out", *SMALL, option)
    assert not (tmp_path / "out").exists()


# ---- sizes that do not fit together


@pytest.mark.parametrize(
    "batch_size, rounds, batches, search_says, validation_says",
    [
        (718, 2, [718, 718], 0, 0),
        (719, 1, [719], 1, 0),
        (720, 2, [720, 717], 1, 1),
        (2000, 3, [1437], 1, 1),
    ],
)
def test_sizes_beyond_the_images_are_said_once(
    tmp_path, monkeypatch, batch_size, rounds, batches, search_says, validation_says
):
    seen = []
    monkeypatch.setattr(
        PROXIES.get("jacob"), "score", lambda network, batch: float(seen.append(len(batch.inputs)) or 1)
    )
    sizes = [f"--batch_size={batch_size}", f"--validate_rounds={rounds}", "--pool_size=1"]
    result = done(tmp_path, *FIXED, *sizes, "--edge_decision=sample")
    assert seen == batches
    search_line = (
        f"search: minibatches have 718 images, half of the training images, not the {batch_size} asked for"
    )
    minibatches = "1 minibatch" if rounds == 1 else f"{rounds} minibatches"
    validation_line = (
        f"validation: {minibatches} of {batch_size} images would take more than the 1437 training images: "
        f"{len(batches)} hold them all"
    )
    log = (result.folder / "log.txt").read_text()
    assert result.out.count(search_line) == log.count(search_line) == search_says
    assert result.out.count(validation_line) == log.count(validation_line) == validation_says
    assert result.says("asked for") == search_says
    assert result.says("would take more") == validation_says


def test_search_minibatches_are_cut_to_half_of_the_images(tmp_path, monkeypatch):
    seen = []

    def scores(proxy, supernet, mixing, choices, batch):
        seen.append(len(batch.inputs))
        return {choice: [1.0, 2.0, 3.0, 4.0, 5.0] for choice in choices}

    monkeypatch.setattr(search, "operation_scores", scores)
    done(tmp_path, *TINY, "--batch_size=1000", "--stage=search")
    assert seen == [718] * 6


def class_folder(root, images):
    (root / "train/a").mkdir(parents=True)
    for number in range(images):
        pixels = np.random.RandomState(number).randint(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"train/a/{number}.png")
    return ["--dataset=folder", f"--data={root}"]


def test_a_data_set_of_few_images(tmp_path):
    one = class_folder(tmp_path / "one", 1)
    assert refused(tmp_path / "out", *TINY, *one) == (
        "--dataset folder: 2 training images are needed, there is 1"
    )
    assert not (tmp_path / "out").exists()
    two = class_folder(tmp_path / "two", 2)
    result = done(tmp_path / "out", *TINY, *two, "--image_size=8", "--mean=0.5,0.5,0.5", "--std=1,1,1")
    assert result.says("search: minibatches have 1 image, half of the training images") == 1
    settings = read(result.folder, "config.json")["settings"]
    assert (settings["image_size"], settings["mean"], settings["std"]) == (8, [0.5] * 3, [1.0] * 3)


# ---- the script


@pytest.fixture
def script(tmp_path):
    """The pipeline's script, started from a folder of the user's."""

    def start_script(*arguments):
        return subprocess.run(
            ["bash", str(PROJECT_ROOT / "exp_scripts/zerocostpt_nb201_pipeline.sh"), *arguments],
            env={**os.environ, "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return start_script


def test_the_script_works_from_any_folder_with_paths_relative_to_it(script, tmp_path):
    tmp_path = tmp_path.resolve()
    (tmp_path / "foresight_ext.py").write_text("raise SystemExit('not the project')")
    class_folder(tmp_path / "images", 4)
    table(tmp_path / "bench.csv", [f"{OTHER},1,2,3"])
    spaced = ["--dataset", "folder", "--data", "images", "--cells", "1", "--init_channels", "2"]
    spaced += ["--out", "my runs", "--pool_size", "1", "--threads", "1"]
    joined = [
        "--batch_size=2",
        "--validate_rounds=2",
        "--device=cpu",
        "--benchmark=bench.csv",
        "--metric=nwot",
    ]
    result = script(*spaced, *joined)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "my runs/nas-bench-201/zerocostpt-seed0-folder-nwot-random"
    assert result.stdout.splitlines()[-1] == f"run: {folder}"
    config = read(folder, "config.json")
    assert config["settings"]["data"] == str(tmp_path / "images")
    assert config["other_options"]["benchmark"] == str(tmp_path / "bench.csv")
    assert config["settings"]["batch_size"] == 2
    assert result.stdout.count("bench.csv' holds 1 of 15625 architectures") == 1
    assert result.stderr == ""


def test_the_scripts_exit_code_is_the_programs(script):
    result = script("--sede=1")
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(
        r"error: unrecognized arguments: --sede=1: did you mean --seed\? [^\n]+\n", result.stderr
    )
