"""Runs go on after a kill, and compute nothing twice: finished ones, stages, other settings, --force."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from foresight_ext.images.datasets import DATASETS
from foresight_ext.measures import PROXIES, vkdnw_entropy
from foresight_ext.search.orders import ORDERS
from nasbench201.genotype import EDGE_NAMES, OPERATIONS
from tests import PROJECT_ROOT
from tests.running import class_folders, read, stopped_after
from tests.search.run.runs import (
    BEST,
    DECISIONS,
    FIXED,
    NAME,
    POOL,
    ROUNDS,
    SCORES,
    SMALL,
    TINY,
    content,
    done,
    expected_scalars,
    journal,
    lines,
    refused,
    run,
    scalars,
    without_seconds,
)

# For each line it reads: starts the run of its arguments in a new process, prints that one's number, waits
# for its end and prints its exit code.
STARTER = """
import os, sys
import foresight_ext.search.run, nasbench201.space, torch.utils.tensorboard
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
    monkeypatch.setattr(vkdnw_entropy.PROXY, "tensors", 8)  # of 128: a tenth of the time
    monkeypatch.setattr(PROXIES.get("zen"), "repeats", 1)  # 32 take most of a minute
    monkeypatch.setattr(PROXIES.get("linear_regions"), "images", 20)  # of 1,000
    arguments = [*TINY, "--batch_size=3", "--seed=3", f"--edge_decision={order}", f"--metrics={metrics}"]
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


# ---- another data set under the same path


def test_a_search_does_not_go_on_with_other_images(tmp_path):
    class_folders(tmp_path / "data/train", (8, 8), images=20)
    arguments = [*FIXED[1:], "--batch_size=4", "--pool_size=2", "--validate_rounds=2", "--dataset=folder"]
    arguments += [f"--data={tmp_path / 'data'}"]
    with stopped_after(4):
        assert run(tmp_path, *arguments).code == 130
    more = tmp_path / "data/train/a"
    kept = (more / "0.png").read_bytes()
    told = "was begun on other images (train: "
    changes = [
        (lambda: (more / "99.png").write_bytes(kept), "images 40 there, 41 now; train: digest "),
        (lambda: ((more / "99.png").unlink(), (more / "0.png").write_bytes(kept + b"0")), "digest "),
        (lambda: class_folders(tmp_path / "data/train", (8, 8), ("c",)), "images 40 there, 46 now; "),
    ]
    for change, difference in changes:
        change()
        message = refused(tmp_path, *arguments)
        assert told + difference in message
        assert message.endswith("use --save NAME for a run beside it, or --force to overwrite it")
    assert "train: classes 2 there, 3 now" in message
    (more / "0.png").write_bytes(kept)
    shutil.rmtree(tmp_path / "data/train/c")
    done(tmp_path, *arguments)  # the images it was begun on
