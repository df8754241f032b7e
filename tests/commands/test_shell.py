"""Commands in a shell: readers that go away, busy machines, and what a user's environment says."""

import os
import subprocess
import sys

import pytest

from tests import PROJECT_ROOT
from tests.running import TINY_NASBENCH201

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
        process.stdout.readline()
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
    assert done.stderr.startswith("error: no room to write ")
    assert done.stderr.endswith(": free some, and the same command goes on from here\n")
    assert done.stderr.count("\n") == 1
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].endswith("/training")
