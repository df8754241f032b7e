"""Runs of the NAS-Bench-201 pipeline on digits, and what tests read in their folders."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nasbench201.genotype import EDGE_NAMES, OPERATIONS, format_genotype
from nasbench201.networks_proposal import main
from tests import running as commands
from tests.running import class_folders, read

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
    return Run(*commands.run(main, f"--out={out}", *arguments))


def done(out, *arguments):
    """A run that must succeed and complain of nothing."""
    result = run(out, *arguments)
    assert (result.code, result.err) == (0, "")
    return result


def refused(out, *arguments):
    """The one line of a run that must be refused."""
    return commands.refused(main, f"--out={out}", *arguments)


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


def table(path, rows):
    """A benchmark CSV; returns the option."""
    path.write_text("arch,cifar10,cifar100,imagenet16-120\n" + "".join(f"{row}\n" for row in rows))
    return f"--benchmark={path}"


def few_images(root, count):
    """A data set of so many images of one class; returns the options."""
    class_folders(root / "train", (8, 8), ("a",), count)
    return ["--dataset=folder", f"--data={root}"]
