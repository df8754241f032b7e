"""Commands in a shell: readers that go away, busy machines, and what a user's environment says."""

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from foresight_ext.files import disk_of
from tests import PROJECT_ROOT
from tests.running import TINY_NASBENCH201, class_folders

COMMANDS = {
    "a table": ["-m", "sota.cnn.genotypes"],
    "a log": ["-m", "nasbench201.networks_proposal", "--dataset=digits", "--device=cpu", "--threads=1"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_reader_that_goes_away_is_no_traceback(tmp_path, name):
    command = [sys.executable, *COMMANDS[name]]
    if name == "a log":
        command += [f"--out={tmp_path}", "--cells=1", "--init_channels=2", "--batch_size=8"]
        command += ["--pool_size=3", "--validate_rounds=2"]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        # a pipe that is full before all is written, and stays so: it does not matter who is faster
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        assert os.read(process.stdout.fileno(), 1)
        process.stdout.close()
        error = process.stderr.read()
    assert error == ""
    assert process.returncode == 141  # what a shell says of a program that SIGPIPE ended


CODE = """
import os, sys
sys.modules.pop("torch", None)
import foresight_ext.commands.parser
assert "torch" not in sys.modules
print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("KMP_BLOCKTIME"), os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, "1000 1 None"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None None"),
        ({"KMP_BLOCKTIME": "9"}, "None 9 None"),
        ({"OMP_WAIT_POLICY": "active"}, "None None active"),
    ],
    ids=str,
)
def test_threads_give_way_unless_the_user_has_said_how(given, expected):
    ours = {"GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=PROJECT_ROOT,
        env={**environment, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected


def test_started_as_a_file_a_command_says_how_it_is_started():
    for file in ("sota/cnn/train.py", "nasbench201/networks_proposal.py"):
        command = [sys.executable, str(PROJECT_ROOT / file), "--help"]
        done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
        module = file.removesuffix(".py").replace("/", ".")
        assert (done.returncode, done.stderr) == (2, f"error: start it as python -m {module}\n")


SMALL = [*TINY_NASBENCH201, "--pool_size=2", "--validate_rounds=2"]
SEARCH = [sys.executable, "-m", "nasbench201.networks_proposal", *SMALL]


def test_letters_that_the_output_can_not_show_are_no_reason_to_fail(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    command = [*SEARCH, f"--out={tmp_path / 'Läufe'}"]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"run: {tmp_path}/L\\xe4ufe/")


ASCII_ALONE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}


def test_a_locale_of_ascii_alone_makes_the_same_run(tmp_path):
    """Names of other letters everywhere; the run goes on in a locale that knows them."""
    for split in ("train", "test"):
        class_folders(tmp_path / "Bilder" / split, (8, 8), ("größe", "漢字"), images=8)
        (tmp_path / "Bilder" / split / "größe/0.png").rename(tmp_path / "Bilder" / split / "größe/é.png")
    options = ["--dataset=folder", f"--data={tmp_path / 'Bilder'}", f"--out={tmp_path / 'Läufe'}"]
    run = [*SEARCH, *options, "--batch_size=4", "--save=größe漢", "--no_skip_training", "--epochs=1"]
    folder = tmp_path / "Läufe/nas-bench-201/größe漢-seed0-folder-jacob-random"
    draw = [sys.executable, "-m", "nasbench201.visualize", str(folder), f"--out={tmp_path / 'Bild é.svg'}"]
    for command in (run, draw):
        done = subprocess.run(
            command, cwd=PROJECT_ROOT, env={**os.environ, **ASCII_ALONE}, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
    assert (
        f"run: {folder}/training\n"
        in subprocess.run(run, cwd=PROJECT_ROOT, capture_output=True, check=True, encoding="utf-8").stdout
    )
    assert (folder / "tensorboard").is_dir() and (tmp_path / "Bild é.svg").is_file()


def test_bytes_that_are_no_letters_are_told(tmp_path):
    command = [*SEARCH, b"--out=" + os.fsencode(tmp_path) + b"/\xff"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.endswith("\\udcff' is not a path in UTF-8: rename it\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize(
    "command", [[*SEARCH], [sys.executable, "-m", "sota.cnn.genotypes"]], ids=["log", "table"]
)
def test_output_that_finds_no_room_is_told_in_one_line(tmp_path, command):
    command = [*command, f"--out={tmp_path}"] if command == SEARCH else command
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, cwd=PROJECT_ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    told = "error: no room to write the output (No space left on device)"
    assert done.stderr == f"{told}: free some, and the same command goes on from here\n"


def test_closed_output_is_no_reason_to_fail(tmp_path):
    closed = ["bash", "-c", 'exec "$@" >&-', "bash", *SEARCH, f"--out={tmp_path}"]
    done = subprocess.run(closed, cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    [log] = tmp_path.rglob("log.txt")
    assert "architecture: |" in log.read_text(encoding="utf-8")


def test_long_names_of_other_letters_are_told(tmp_path):
    command = [*SEARCH, f"--out={tmp_path / 'out'}", f"--save={'漢' * 100}"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is no name: up to 100 letters" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


TRAINING = [*SEARCH, "--no_skip_training", "--epochs=2", "--train_batch_size=64"]


@pytest.mark.parametrize("kilobytes", [4, 24])
def test_a_file_that_may_not_grow_ends_in_one_line_and_goes_on_later(tmp_path, kilobytes):
    """As a full disk does: whatever file it is that finds no room."""
    command = [*TRAINING, f"--out={tmp_path}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    limited = ["bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "bash", *command]
    done = subprocess.run(
        limited, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    disk = f"on the disk mounted at {disk_of(tmp_path)} (File too large)"
    assert re.match(rf"error: no room to write {tmp_path}/\S+, {re.escape(disk)}", done.stderr)
    assert done.stderr.endswith(": free some, and the same command goes on from here\n")
    assert done.stderr.count("\n") == 1
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].endswith("/training")


def test_what_matplotlib_says_of_fonts_is_no_news_of_a_run(tmp_path):
    """It says that once, where it finds no list of fonts of its own."""
    fresh = {"MPLCONFIGDIR": str(tmp_path / "matplotlib"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*SEARCH, f"--out={tmp_path / 'out'}"],
        cwd=PROJECT_ROOT,
        env={**os.environ, **fresh},
        capture_output=True,
        text=True,
        check=True,
    )
    assert list((tmp_path / "matplotlib").glob("fontlist-*.json"))
    [log] = (tmp_path / "out").rglob("log.txt")
    assert "NAS-Bench-201 cell" in log.read_text(encoding="utf-8")
    assert "font" not in log.read_text(encoding="utf-8") + done.stdout + done.stderr
