"""Runs on a file system that can only be read: finished ones are told, and nothing is written."""

import errno
import os
from pathlib import Path

import pytest

from nasbench201 import networks_proposal, op_scores, score_archs
from nasbench201 import train as nasbench201_train
from tests import running as commands
from tests.running import TINY_NASBENCH201

ARCH = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
SEARCH = [*TINY_NASBENCH201, "--pool_size=1", "--validate_rounds=2"]
TRAINING = ["--epochs=1", "--fast"]
COMMANDS = [
    (networks_proposal.main, SEARCH),
    (networks_proposal.main, [*SEARCH, "--stage=search"]),
    (networks_proposal.main, [*SEARCH, *TRAINING, "--no_skip_training", "--train_batch_size=8"]),
    (nasbench201_train.main, [f"--arch={ARCH}", *TINY_NASBENCH201, *TRAINING]),
    (score_archs.main, [*TINY_NASBENCH201, "--sample=2"]),
    (op_scores.main, [*TINY_NASBENCH201, "--seeds=0", "--metrics=params"]),
]


@pytest.fixture
def only_read(monkeypatch):
    """Call it: from then on files under a folder can't be opened to be written, as on a read-only disk."""

    def begin(folder):
        original = Path.open

        def opened(path, mode="r", *arguments, **named):
            if folder in path.parents and set(mode) & set("wax+"):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return original(path, mode, *arguments, **named)

        monkeypatch.setattr(Path, "open", opened)

    return begin


@pytest.fixture(autouse=True)
def no_benchmark_lies_about(tmp_path, monkeypatch):
    """What the developer has in data/ has no part in these tests."""
    monkeypatch.setattr("nasbench201.benchmark.DATA_FOLDER", tmp_path)


def state(folder):
    """Every file with its content and the time of its last change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("main, arguments", COMMANDS)
def test_a_finished_run_is_told_as_elsewhere(tmp_path, only_read, main, arguments):
    out = f"--out={tmp_path / 'out'}"
    commands.done(main, out, *arguments)
    elsewhere = commands.done(main, out, *arguments)
    assert any("before, nothing to compute" in line for line in elsewhere)
    for lock in (tmp_path / "out").rglob(".lock"):
        lock.unlink()  # as in a copy
    before = state(tmp_path / "out")
    only_read(tmp_path / "out")
    assert commands.done(main, out, *arguments) == elsewhere
    assert state(tmp_path / "out") == before


@pytest.mark.parametrize(
    "main, arguments, gone",
    [
        (networks_proposal.main, SEARCH, "best_networks.json"),
        (networks_proposal.main, SEARCH, "validation.jsonl"),
        (nasbench201_train.main, COMMANDS[3][1], "result.json"),
        (score_archs.main, COMMANDS[4][1], "scores.jsonl"),
        (op_scores.main, COMMANDS[5][1], "op_scores.jsonl"),
    ],
)
def test_a_run_that_is_not_finished_is_one_line(tmp_path, only_read, main, arguments, gone):
    out = f"--out={tmp_path / 'out'}"
    commands.done(main, out, *arguments)
    [path] = (tmp_path / "out").rglob(gone)
    path.unlink()
    before = state(tmp_path / "out")
    only_read(tmp_path / "out")
    told = f"--out: {path.parent} can't be written (Read-only file system), and its run is not finished: "
    assert commands.refused(main, out, *arguments) == told + "copy it to another --out to go on"
    assert state(tmp_path / "out") == before


def test_a_run_that_is_to_be_overwritten_or_made_is_one_line(tmp_path, only_read):
    out = tmp_path / "out"
    [*_, last] = commands.done(networks_proposal.main, f"--out={out}", *SEARCH)
    folder = last.removeprefix("run: ")
    before = state(out)
    only_read(out)
    told = commands.refused(networks_proposal.main, f"--out={out}", *SEARCH, "--force")
    assert told == f"--force: {folder} can't be emptied: Read-only file system"
    told = commands.refused(networks_proposal.main, f"--out={out}", *SEARCH, "--validate_rounds=3")
    assert "is a run with other settings (validate_rounds 2 there, 3 asked for)" in told
    told = commands.refused(networks_proposal.main, f"--out={out}", *SEARCH, "--save=new")
    assert told.endswith("can't be made: Read-only file system")
    assert state(out) == before
