"""Commands in a shell: readers that go away, busy machines, and what a user's environment says."""

import os
import subprocess
import sys

import pytest

from tests import PROJECT_ROOT

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
