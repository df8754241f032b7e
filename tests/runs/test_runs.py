"""Run folders, journals, files and progress: what a killed or mistaken process may leave, and what not."""

import errno
import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import pytest
from tensorboard.summary.writer.record_writer import RecordWriter

from foresight_ext.errors import UserError
from foresight_ext.files import disk_of, replacing, write_json, write_text
from foresight_ext.runs import environment as runs
from foresight_ext.runs import progress
from foresight_ext.runs.board import tensorboard
from foresight_ext.runs.environment import environment
from foresight_ext.runs.folder import RunFolder
from foresight_ext.runs.journal import Journal
from foresight_ext.runs.progress import Progress, in_words
from tests import PROJECT_ROOT

SETTINGS = {"seed": 0, "mean": (0.5, 0.25, 0.0), "data": None}


def make(path, force=False, **changes):
    return RunFolder(path, {**SETTINGS, **changes}, {"environment": {"cores": 2}}, force)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def told(call, *arguments, **options):
    """The message of the UserError that a call raises."""
    with pytest.raises(UserError) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_new_folder_says_what_was_asked_and_where(tmp_path):
    folder = make(tmp_path / "a/b")
    assert folder.path == tmp_path / "a/b"
    assert json.loads((folder.path / "config.json").read_text()) == {
        "settings": {"seed": 0, "mean": [0.5, 0.25, 0.0], "data": None},
        "environment": {"cores": 2},
    }


def test_the_same_settings_are_let_in_again_and_the_config_stays(tmp_path):
    make(tmp_path / "run")
    before = (tmp_path / "run/config.json").read_bytes()
    RunFolder(tmp_path / "run", SETTINGS, {"environment": {"cores": 64}}, force=False)
    assert (tmp_path / "run/config.json").read_bytes() == before


def test_other_settings_are_refused_with_the_difference(tmp_path):
    make(tmp_path / "run")
    assert told(make, tmp_path / "run", seed=3, mean=(0, 0, 0), more="x") == (
        f"{tmp_path}/run is a run with other settings (seed 0 there, 3 asked for; mean [0.5, 0.25, 0.0] "
        "there, [0, 0, 0] asked for; more None there, x asked for): use --save NAME for a run beside it, or "
        "--force to overwrite it"
    )


def test_a_setting_that_an_older_version_lacked_is_equal_to_none(tmp_path):
    make(tmp_path / "run")
    make(tmp_path / "run", new_option=None)


def test_each_stage_keeps_the_splits_that_it_looks_at(tmp_path):
    train, test = {"images": 40, "digest": "a"}, {"images": 9, "digest": "b"}
    folder = make(tmp_path / "run")
    folder.same_data(tmp_path / "here", train=train)
    folder.same_data(tmp_path / "there", train=train, test=test)
    folder.same_data(None, train=train)
    recorded = json.loads((tmp_path / "run/config.json").read_text())
    assert recorded["data"] == {"root": None, "train": train, "test": test}
    assert recorded["environment"] == {"cores": 2}
    told(folder.same_data, None, train=train, test={**test, "images": 8})
    message = told(folder.same_data, tmp_path / "here", test={**test, "digest": "c"})
    assert message == (
        f"{tmp_path}/run was begun on other images (test: digest b there, c now): leave --data out, or use "
        "--save NAME for a run beside it"
    )


def test_force_empties_the_folder(tmp_path):
    make(tmp_path / "run")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (tmp_path / "run/link").symlink_to(outside)
    (tmp_path / "run/folder").mkdir()
    (tmp_path / "run/folder/file").touch()
    (tmp_path / "run/search.jsonl").write_text("old")
    make(tmp_path / "run", force=True, seed=3)
    assert names(tmp_path / "run") == [".lock", "config.json"]
    assert json.loads((tmp_path / "run/config.json").read_text())["settings"]["seed"] == 3
    assert (outside / "file").exists()


class Killed(BaseException):
    """Stands in for kill -9."""


@pytest.mark.parametrize("deleted", [0, 1, 2])
@pytest.mark.parametrize("force", [False, True])
def test_a_force_that_was_killed_on_the_way_can_be_repeated(tmp_path, monkeypatch, deleted, force):
    make(tmp_path / "run")
    for name in ("a", "z"):
        (tmp_path / "run" / name).touch()
    gone, unlink = [], Path.unlink

    def unlink_or_die(path):
        if len(gone) == deleted:
            raise Killed
        gone.append(path.name)
        unlink(path)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "unlink", unlink_or_die)
        make(tmp_path / "run", force=True)
    assert "config.json" not in gone  # it is the last to go
    make(tmp_path / "run", force=force)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_no_run_is_refused_and_left_as_it_is(tmp_path, force):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("x")
    message = told(make, tmp_path / "mine", force=force)
    assert message == f"{tmp_path}/mine holds something else than a run: use --save NAME or --out DIR"
    assert names(tmp_path / "mine") == ["thesis.tex"]


def test_what_a_kill_before_the_config_leaves_is_a_new_run(tmp_path):
    (tmp_path / "run").mkdir()
    for name in (".lock", ".config-x1y2.json"):
        (tmp_path / "run" / name).touch()
    make(tmp_path / "run")
    assert (tmp_path / "run/config.json").is_file()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    message = told(make, tmp_path / "file/run")
    assert message == f"--out: {tmp_path}/file/run can't be made: Not a directory"
    assert told(make, tmp_path / "file").endswith("can't be made: File exists")


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    assert told(make, tmp_path / "run") == (
        f"--out: {tmp_path}/run can't be locked: Function not implemented: its file system may know no locks"
    )


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_in_use_is_refused_until_it_is_free(tmp_path, force):
    make(tmp_path / "run")
    with (tmp_path / "run/.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        message = told(make, tmp_path / "run", force=force)
        assert message == f"{tmp_path}/run is in use by another process: wait for it, or use --save NAME"
        assert (tmp_path / "run/config.json").is_file()
    make(tmp_path / "run", force=force)


def test_a_folder_is_held_until_it_is_closed(tmp_path):
    program = "import fcntl, sys\nfcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    command = [sys.executable, "-c", program, tmp_path / "run/.lock"]
    folder = make(tmp_path / "run")
    assert b"BlockingIOError" in subprocess.run(command, capture_output=True, check=False).stderr
    folder.close()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"settings": 3}', '{"settings": null}', "\0\0", "\udcff"]
)
def test_a_damaged_config_is_told_and_force_gets_past_it(tmp_path, text):
    make(tmp_path / "run")
    (tmp_path / "run/config.json").write_bytes(text.encode(errors="surrogateescape"))
    message = told(make, tmp_path / "run")
    assert message == f"{tmp_path}/run/config.json is damaged: use --force to start afresh, or --save NAME"
    make(tmp_path / "run", force=True)


def test_log_file_gets_what_is_logged_with_the_time(tmp_path):
    folder = make(tmp_path / "run")
    folder.log_to_file()
    try:
        logging.getLogger("foresight_ext.x").warning("3 images: ä")
    finally:
        folder.close()
    logging.getLogger("foresight_ext.x").warning("4 images")  # the log has ended
    [line] = (tmp_path / "run/log.txt").read_text(encoding="utf-8").splitlines()
    assert line.endswith(" 3 images: ä")
    assert line.startswith("20")


# ---- journal


def test_a_journal_keeps_what_is_appended_and_adds_up_the_seconds(tmp_path):
    journal = Journal(tmp_path / "stage.jsonl")
    assert journal.entries == []
    journal.append({"name": "ä", "seconds": 1.5})
    assert (tmp_path / "stage.jsonl").read_bytes().count(b"\n") == 1  # at once, not when it is closed
    journal.append({"name": "b", "seconds": 2})
    assert journal.seconds == 3.5
    again = Journal(tmp_path / "stage.jsonl")
    assert again.entries == journal.entries == [{"name": "ä", "seconds": 1.5}, {"name": "b", "seconds": 2}]
    assert again.seconds == 3.5


@pytest.mark.parametrize("half", [b"{", b'{"a": 3, "seconds": 1}', b"\0\0\0", b"\xff"])
def test_a_half_written_last_line_is_dropped(tmp_path, half):
    whole = b'{"a": 1, "seconds": 1}\n{"a": 2, "seconds": 1}\n'
    (tmp_path / "stage.jsonl").write_bytes(whole + half)
    journal = Journal(tmp_path / "stage.jsonl")
    assert [entry["a"] for entry in journal.entries] == [1, 2]
    assert (tmp_path / "stage.jsonl").read_bytes() == whole
    journal.append({"a": 3, "seconds": 1})
    assert [entry["a"] for entry in Journal(tmp_path / "stage.jsonl").entries] == [1, 2, 3]


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"3", b"{}", b"null", b"\xff\xfe", b'{"seconds": "1"}'])
def test_a_damaged_line_is_told_by_its_number(tmp_path, line):
    content = b'{"seconds": 1}\n' + line + b'\n{"seconds": 1}\n'
    (tmp_path / "stage.jsonl").write_bytes(content)
    message = told(Journal, tmp_path / "stage.jsonl")
    assert message == f"{tmp_path}/stage.jsonl is damaged in line 2: --force starts the run afresh"
    assert (tmp_path / "stage.jsonl").read_bytes() == content


# ---- environment


def test_environment_names_versions_revision_and_machine():
    found = environment("GPU 3")
    versions = found["versions"]
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    for package in ("torch", "torchvision", "numpy"):
        assert versions[package] == version(package)
    assert found["machine"]["device"] == "GPU 3"
    assert found["machine"]["cores"] == os.cpu_count()
    assert set(found["machine"]) == {"system", "processor", "cores", "device"}
    git = ["git", "-C", str(PROJECT_ROOT), "rev-parse", "HEAD"]
    try:
        revision = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        assert found["git_revision"] is None
    else:
        assert found["git_revision"].removesuffix("-dirty") == revision
    json.dumps(found)


def test_environment_without_git_or_a_package(monkeypatch):
    monkeypatch.setenv("PATH", "")

    def not_found(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(runs, "version", not_found)
    found = environment("the CPU")
    assert found["git_revision"] is None
    assert found["versions"]["torch"] is None


# ---- files


def test_replacing_takes_the_place_at_the_end_only(tmp_path):
    path = tmp_path / "new/file.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("there", [None, "old"])
def test_replacing_leaves_nothing_behind_on_an_error(tmp_path, there):
    path = tmp_path / "file.txt"
    if there is not None:
        path.write_text(there)
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ([there] if there else [])


def test_replacing_survives_a_block_that_removes_the_temporary_file(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file.txt") as temporary:
        temporary.unlink()
    assert list(tmp_path.iterdir()) == []


def test_a_replaced_file_has_the_permissions_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "ä")
        (tmp_path / "plain.txt").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "file.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode
    assert (tmp_path / "file.txt").read_bytes() == "ä".encode()


def test_json_keeps_the_order_of_keys_and_a_bad_value_writes_nothing(tmp_path):
    write_json(tmp_path / "file.json", {"b": [1], "a": None})
    assert (tmp_path / "file.json").read_text() == '{\n  "b": [\n    1\n  ],\n  "a": null\n}\n'
    with pytest.raises(TypeError):
        write_json(tmp_path / "file.json", {"a": object()})
    assert json.loads((tmp_path / "file.json").read_text())["b"] == [1]
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_without_room_names_the_file_and_leaves_nothing_half_written(tmp_path, monkeypatch, code):
    write_text(tmp_path / "file.txt", "old")

    def no_room(*_, **__):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch, pytest.raises(OSError) as caught:
        patch.setattr(Path, "write_text", no_room)
        write_text(tmp_path / "file.txt", "new")
    assert (caught.value.errno, caught.value.filename) == (code, str(tmp_path / "file.txt"))
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]


def test_a_folder_that_finds_no_room_is_no_mistake_of_the_user(tmp_path, monkeypatch):
    def no_room(*_, **__):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(tmp_path / "run"))

    monkeypatch.setattr(Path, "mkdir", no_room)
    with pytest.raises(OSError) as caught:
        make(tmp_path / "run")
    assert caught.value.errno == errno.EDQUOT


def test_disk_of_a_path_that_is_not_there_yet(tmp_path, monkeypatch):
    assert disk_of(Path("/")) == Path("/")
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path.parent)
    assert disk_of(tmp_path / "a/b") == tmp_path.parent
    monkeypatch.chdir(tmp_path)
    assert disk_of(Path("c")) == tmp_path.parent


@pytest.mark.parametrize("failing", [2, 3, 5])
def test_tensorboard_passes_no_full_disk_over(tmp_path, monkeypatch, failing):
    """Its thread's error ends the block, in whichever of its writes it happens, and names the folder."""
    monkeypatch.setattr(threading, "excepthook", lambda failed: None)
    write, calls = RecordWriter.write, []

    def no_room(writer, data):
        calls.append(len(data))
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(writer, data)

    monkeypatch.setattr(RecordWriter, "write", no_room)
    with pytest.raises(OSError) as caught, tensorboard(tmp_path) as board:
        for step in range(4):
            board.add_scalar("loss", 1.0, step)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "tensorboard"))


# ---- progress


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "0.0 s"),
        (8.34, "8.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (60, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (4800, "1 h 20 min"),
        (360000, "100 h 00 min"),
    ],
)
def test_in_words(seconds, words):
    assert in_words(seconds) == words


def steps(monkeypatch, caplog, total, done, times, pieces=1):
    """The lines of work that starts at 100 s and does its steps, of so many pieces each, at these times."""
    clock = iter([100.0, *times])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    caplog.set_level(logging.INFO)
    work = Progress("search", total, done)
    for _ in times:
        work.step(pieces=pieces)
    assert work.done == done + len(times) * pieces
    return [record.getMessage() for record in caplog.records]


def test_progress_says_a_line_every_ten_seconds_with_an_estimate(monkeypatch, caplog):
    # 12 s for 2 steps: 6 s each, 38 to go; nothing at 115 s, 3 s later; at 124 s 4 steps took 24 s
    assert steps(monkeypatch, caplog, 40, 0, [104, 112, 115, 124]) == [
        "search: 2 of 40 (5%), 12.0 s so far, about 3 min 48 s to go",
        "search: 4 of 40 (10%), 24.0 s so far, about 3 min 36 s to go",
    ]


def test_a_step_of_many_pieces_counts_as_many(monkeypatch, caplog):
    # 60 of 210 take 300 s, so the other 150 take 750 s
    assert steps(monkeypatch, caplog, 210, 0, [400], pieces=60) == [
        "search: 60 of 210 (29%), 5 min 00 s so far, about 12 min 30 s to go"
    ]


def test_progress_after_a_resumption_estimates_by_its_own_steps(monkeypatch, caplog):
    # 30 of 40 were done before; 1 step takes 20 s, so the other 9 take 180 s
    assert steps(monkeypatch, caplog, 40, 30, [120]) == [
        "search: 31 of 40 (78%), 20.0 s so far, about 3 min 00 s to go"
    ]


def test_progress_leaves_the_last_step_to_the_result(monkeypatch, caplog):
    assert steps(monkeypatch, caplog, 2, 0, [105, 150]) == []
