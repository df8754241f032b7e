"""Entry points run in the tests' own process, and images for them to read."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import numpy as np
import pytest
from PIL import Image

from foresight_ext.runs.journal import Journal
from tests import PROJECT_ROOT

# NAS-Bench-201 on digits, as small as can be
TINY_NASBENCH201 = ["--dataset=digits", "--device=cpu", "--threads=1", "--cells=1", "--init_channels=2"]
TINY_NASBENCH201 += ["--batch_size=8"]


def run(main, *arguments):
    """A command: exit code, standard output, standard error."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = main(list(arguments))
    return code, stdout.getvalue(), stderr.getvalue()


@contextmanager
def stopped_after(entries):
    """Runs within are interrupted where they would add another entry to a journal than so many."""
    append, left = Journal.append, [entries]

    def stopping(journal, entry):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        append(journal, entry)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", stopping)
        yield


def done(main, *arguments):
    """The lines of a command that must succeed and complain of nothing."""
    code, told, error = run(main, *arguments)
    assert (code, error) == (0, "")
    return told.splitlines()


def refused(main, *arguments):
    """The one line of a command that must be refused."""
    code, _, error = run(main, *arguments)
    assert code == 2
    assert re.fullmatch(r"error: [^\n]+\n", error)
    return error.removeprefix("error: ").strip()


def finished(command, folder):
    """A command line that ran to its end in a folder, in processes of its own."""
    return subprocess.run(
        command,
        env={**os.environ, "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def interrupted(command, ready):
    """Exit code and standard error of a command line that Ctrl-C stops once `ready()` is true."""
    with subprocess.Popen(
        command,
        cwd=PROJECT_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # tests that a shell runs in the background ignore Ctrl-C, and so would their processes
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not ready():
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the processes it started as well
        _, error = process.communicate(timeout=60)
    return process.returncode, error


def script(name, *arguments):
    """The command line of a script of exp_scripts/."""
    return ["bash", str(PROJECT_ROOT / "exp_scripts" / name), *arguments]


def read(folder, name):
    """A JSON file's content."""
    return json.loads((folder / name).read_text())


def class_folders(place, size, names=("a", "b"), images=6):
    """Images (height, width) in class folders, of one colour a class."""
    for number, name in enumerate(names):
        (place / name).mkdir(parents=True)
        for index in range(images):
            pixels = np.random.RandomState(index).randint(0, 90, (*size, 3)) + 90 * number
            Image.fromarray(pixels.astype(np.uint8)).save(place / name / f"{index}.png")
