"""Replays the official GPU logs of NAS-Bench-201 in full: how far scores and decisions are met, step by step.

python -m tests.benchmarks.gpu_logs --data DIR --order FILE [--seeds 0,1,2,3] [--threads 2], from the
project's root, with the folder `shared` beside it. DIR holds CIFAR-10 as JPEG class folders, in
DIR/train/<class>/, and FILE lists them in the original order. Printed are the correlation of the two tables,
what all differences have in common and the largest one besides, the logged decision and ours, and the
margins of both.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from foresight_ext.commands.parser import Parser, entry_point, user_path, whole_number
from foresight_ext.errors import UserError
from tests.conftest import golden
from tests.nasbench201.gpu_logs import FILE, Replay, in_original_order, margin


@entry_point
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser("tests.benchmarks.gpu_logs", __doc__.splitlines()[0])
    parser.add_argument("--data", type=user_path, required=True, metavar="DIR", help="has train/<class>/")
    parser.add_argument("--order", type=user_path, required=True, metavar="FILE", help="the original order")
    parser.option("--seeds", default="0,1,2,3", help="which logs")
    parser.option("--threads", type=whole_number(1), default=2, help="CPU threads to compute with")
    options = parser.parse_args(argv)
    if not (options.data / "train").is_dir():
        raise UserError(f"--data '{options.data}' has no folder train of class folders")
    if not options.order.is_file():
        raise UserError(f"--order '{options.order}' is no file")
    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    print("seed step  correlation  in common  besides  logged  ours  its margin  our margin", flush=True)
    with tempfile.TemporaryDirectory() as place:
        images = in_original_order(Path(place), options.data.resolve(), options.order.resolve())
        for run in golden(FILE)["runs"]:
            if str(run["settings"]["seed"]) in options.seeds.split(","):
                print_run(run["settings"]["seed"], Replay(run, images))
    print(f"{time.perf_counter() - start:.0f} s")
    return 0


def print_run(seed: int, replay: Replay) -> None:
    for number, step in enumerate(replay.steps):
        ours, logged = np.array(replay.table(number)), np.array(step["rows"])
        correlation = np.corrcoef(ours.ravel(), logged.ravel())[0, 1]
        offset = np.median(ours - logged)
        besides = abs(ours - logged - offset).max()
        scores = replay.deciding(number)
        print(
            f"{seed:4} {number:4} {correlation:12.6f} {offset:10.2f} {besides:8.2f} {step['chosen_op']:7} "
            f"{scores.index(min(scores)):5} {margin(step['rows'][0]):11.3f} {margin(scores):11.3f}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
