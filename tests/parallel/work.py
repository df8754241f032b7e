"""Work for other processes: python -m tests.parallel.work RUN SECONDS COUNT computes it in local jobs."""

import os
import sys
import time
from pathlib import Path

from foresight_ext.errors import UserError
from foresight_ext.parallel.cluster import cluster_of
from foresight_ext.parallel.shards import Submission


class Squares:
    """Squares of numbers, each after some seconds; what went on is said in lines of a file."""

    def __init__(self, log: Path, seconds: float = 0.0, fatal: tuple[int, ...] = ()):
        self.log = log
        self.seconds = seconds
        self.fatal = fatal  # numbers that end the process, unless a file beside the log says that all is well

    def say(self, word: str) -> None:
        with self.log.open("a") as file:
            file.write(f"{word} {os.getpid()}\n")

    def __call__(self):
        self.say("start")
        return self.square

    def square(self, number: int) -> int:
        if number < 0:
            raise UserError(f"{number} is below 0")
        if number in self.fatal and not self.log.with_name("well").exists():
            os._exit(9)
        self.say(str(number))
        time.sleep(self.seconds)
        return number * number


def threads(_: int) -> str:
    """How many threads a process is told to take."""
    return os.environ["OMP_NUM_THREADS"]


def of_threads():
    return threads


if __name__ == "__main__":
    run, seconds, count = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    submission = Submission.of(run / "cluster", cluster_of("local", "jobs=2", 1), list(range(count)))
    submission.compute(Squares(run / "log", seconds), 1, None, "squares")
    print(list(submission.results()))
