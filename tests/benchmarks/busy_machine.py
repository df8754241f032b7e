"""Times a search on a quiet and a busy machine, with PyTorch's threads as they are and as commands set them.

python -m tests.benchmarks.busy_machine [--seconds 60], from the project's root, on a machine without other
work. The search is the demo's, five members (30 decisions) on two threads; busy means beside a program of two
threads that multiplies matrices. A search that takes longer than --seconds is stopped.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests import PROJECT_ROOT

COMMAND = ["nasbench201.networks_proposal", "--dataset=digits", "--device=cpu", "--threads=2", "--cells=3"]
COMMAND += ["--init_channels=8", "--batch_size=64", "--pool_size=5", "--stage=search"]
LOAD = """
import torch
torch.set_num_threads(2)
a = torch.randn(600, 600)
while True:
    a @ a
"""
# what GNU's OpenMP does where nobody has said anything, and what commands set
SETTINGS = {"as they are": {"GOMP_SPINCOUNT": "300000"}, "as commands set them": {}}
_POLICIES = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")


@contextlib.contextmanager
def beside_another_program(busy: bool) -> Iterator[None]:
    """A program that keeps two threads busy, as PyTorch's are by themselves."""
    if not busy:
        yield
        return
    with subprocess.Popen(
        [sys.executable, "-c", LOAD], env={**_environment(), **SETTINGS["as they are"]}
    ) as load:
        time.sleep(3)
        try:
            yield
        finally:
            load.kill()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _POLICIES}


def search(setting: str, limit: float) -> tuple[int, float]:
    """Decisions, and the seconds in which they were taken."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", *COMMAND, f"--out={out}"]
        environment = {**_environment(), **SETTINGS[setting]}
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and not list(Path(out).rglob("search.jsonl")):
            time.sleep(0.02)
        start = time.monotonic()
        while process.poll() is None and time.monotonic() - start < limit:
            time.sleep(0.02)
        seconds = time.monotonic() - start
        process.kill()
        process.wait()
        [journal] = Path(out).rglob("search.jsonl")  # there is none if the search did not start
        return journal.read_text().count("\n"), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    print(f"{'threads':<22}{'quiet':>24}{'busy':>24}")
    for setting in SETTINGS:
        cells = []
        for busy in (False, True):
            with beside_another_program(busy):
                decisions, seconds = search(setting, options.seconds)
            cells.append(f"{decisions} in {seconds:.1f} s")
        print(f"{setting:<22}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
