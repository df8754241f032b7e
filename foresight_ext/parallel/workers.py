"""Who computes independent tasks: this process, several of this machine, or a cluster's."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foresight_ext.errors import UserError
from foresight_ext.parallel.cluster import Cluster
from foresight_ext.parallel.processes import Results, Start, in_processes
from foresight_ext.parallel.shards import Submission, submitted_to

if TYPE_CHECKING:  # PyTorch is imported when it is needed: --help is there at once
    import torch

    from foresight_ext.devices import Compute

FOLDER = "cluster"


@dataclass(frozen=True)
class Workers:
    """So many `processes` of `threads` threads each (None: one; alone: as many as PyTorch takes).

    With a `cluster` every one of its jobs has as many.
    """

    processes: int = 1
    threads: int | None = None
    cluster: Cluster | None = None

    def __str__(self) -> str:
        count = f"{self.processes} process{'es' * (self.processes > 1)}"
        return count if self.cluster is None else f"jobs of {count} each"

    def choose(self, compute: "Compute") -> "tuple[Compute, torch.device, str]":
        """Where every process is to compute, this process's device, and why, in words.

        A cluster's jobs choose where they run. UserError if the device can't be had.
        """
        import torch

        from foresight_ext.devices import Compute

        if self.cluster is not None and self.cluster.kind != "debug":
            return compute, torch.device("cpu"), f"the cluster ({self.cluster.kind})"
        device, why = compute.choose()
        return Compute.of(device), device, why

    def check(self) -> None:
        """UserError if the cluster can't be had; `results` asks as well, later than a user would like."""
        if self.cluster is not None:
            self.cluster.check()

    def results(self, start: Start, tasks: Iterable[Any], run: Path, what: str) -> Results:
        """The result of every task in their order, however many compute; close it to stop what still runs.

        Args:
            start: is called once in every process, and returns what computes a task's result.
            tasks: what it is called with; for a cluster tasks and results must be what JSON can hold, and
                come back as JSON has them.
            run: the run folder; jobs of a cluster write there. Where an earlier call's are still there, these
                are waited for and their results come instead: ask again for what is missing then.
            what: the tasks, in words.

        Raises:
            UserError: a process or job that died, a cluster that refuses jobs, jobs there of another one.
        """
        folder = run / FOLDER
        kind = submitted_to(folder)
        if kind is not None and (self.cluster is None or self.cluster.kind != kind):
            told = f"go on with --cluster {kind}, or start afresh by --force"
            raise UserError(f"{run} has jobs of --cluster {kind}: {told}")
        self.check()
        if self.cluster is None:
            return in_processes(start, tasks, self.processes, self.threads)
        # jobs of a cluster have cores of their own
        threads = self.threads or (1 if self.cluster.kind == "local" else None)
        submission = Submission.of(folder, self.cluster, list(tasks))
        submission.compute(start, self.processes, threads, what)
        return submission.results()


ALONE = Workers()
