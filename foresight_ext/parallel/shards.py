"""Tasks on a cluster: each job has a share, and keeps every result in a journal on the shared file system."""

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from foresight_ext.errors import UserError
from foresight_ext.files import exclusive, write_json
from foresight_ext.parallel.cluster import Cluster, job_log
from foresight_ext.parallel.processes import Results, Start, in_processes
from foresight_ext.runs.journal import Journal
from foresight_ext.runs.progress import Progress

if TYPE_CHECKING:  # an extra
    import submitit

SUBMISSION = "submission.json"
_POLL = {"slurm": 10.0, "local": 0.5, "debug": 0.0}  # seconds
_MOST_NAMED = 5
_log = logging.getLogger(__name__)


class Shard:
    """One job: the results of some tasks, each appended to a journal, which it goes on from.

    Where it is preempted or out of time submitit queues it again.
    """

    def __init__(
        self, journal: Path, start: Start, tasks: Sequence[Any], processes: int, threads: int | None
    ):
        self.journal = journal
        self.start = start
        self.tasks = tasks
        self.processes = processes
        self.threads = threads

    def __call__(self) -> None:
        # fails where --force has deleted the folder; a job that was taken for dead may still write
        with (
            exclusive(_lock_of(self.journal)),
            closing(Journal(self.journal)) as journal,
            _threads(self.threads),
        ):
            left, before = self.tasks[len(journal.entries) :], time.monotonic()
            with closing(in_processes(self.start, left, self.processes, self.threads)) as results:
                for result in results:
                    now = time.monotonic()
                    journal.append({"result": result, "seconds": round(now - before, 4)})
                    before = now

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """What submitit queues again: the same, which goes on from its journal."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submitted_to(folder: Path) -> str | None:
    """The kind of cluster that a folder's submission is on; None without one."""
    content = _record(folder)
    return None if content is None else str(content["cluster"])


class Submission:
    """Tasks that were submitted, in a folder that outlives the caller, who may come back for the results.

    `jobs` are those of each share by their ids; the last one counts. Tasks and results must be JSON.
    """

    def __init__(self, folder: Path, cluster: Cluster, shares: list[list[Any]], jobs: list[str | None]):
        self.folder = folder
        self.cluster = cluster
        self.shares = shares
        self.jobs = jobs
        self._held: dict[int, submitit.Job[None]] = {}
        self._seen: dict[int, tuple[int, list[Any]]] = {}

    @classmethod
    def of(cls, folder: Path, cluster: Cluster, tasks: Sequence[Any]) -> "Submission":
        """The submission that a folder holds, whatever its tasks, or a new one."""
        if (content := _record(folder)) is not None:
            return cls(folder / content["folder"], cluster, content["shares"], content["jobs"])
        count = cluster.jobs or (cluster.array_size if cluster.kind == "slurm" else os.cpu_count() or 1)
        count = min(count, len(tasks))
        shares = [list(tasks[number::count]) for number in range(count)]  # alike, whatever their order
        # no other submission's: a job that --force has left behind finds nothing to write to
        made = cls(folder / uuid4().hex[:8], cluster, shares, [None] * count)
        made.folder.mkdir(parents=True)
        made._write()
        return made

    def compute(self, start: Start, processes: int, threads: int | None, what: str) -> None:
        """Submit what does not run, and wait until all results are there.

        A job that dies is named at once; the others go on, and UserError follows when they have ended.
        """
        total = sum(map(len, self.shares))
        done = sum(len(self._results(number)) for number in range(len(self.shares)))
        with Progress(f"{what} on the cluster", total, done) as progress:
            self._submit(start, processes, threads)
            dead = self._wait(progress)
        if dead:
            names = ", ".join(str(number + 1) for number in dead[:_MOST_NAMED])
            names += ", ..." if len(dead) > _MOST_NAMED else ""
            raise UserError(
                f"{len(dead)} of {len(self.shares)} jobs died ({names}), their logs are in {self._logs}: "
                "the same command submits them again, and what is done stays"
            )

    def results(self) -> Results:
        """The results in the order of the tasks; once they are taken nothing of the submission is left."""
        found = [self._results(number) for number in range(len(self.shares))]
        for number in range(sum(map(len, found))):
            yield found[number % len(found)][number // len(found)]
        (self.folder.parent / SUBMISSION).unlink()
        shutil.rmtree(self.folder.parent, ignore_errors=True)  # a job's last words may still come in

    @property
    def _logs(self) -> Path:
        return self.folder / "jobs"

    def _journal(self, number: int) -> Path:
        return self.folder / f"{number:05}.jsonl"

    def _submit(self, start: Start, processes: int, threads: int | None) -> None:
        left = [number for number, share in enumerate(self.shares) if len(self._results(number)) < len(share)]
        for number in left:  # all of them first: a cluster is asked once then
            job_id = self.jobs[number]
            job = self.cluster.known(self._logs, job_id) if job_id is not None else None
            if job is not None:
                self._held[number] = job
        idle = [number for number in left if not self._running(number)]
        if len(idle) < len(left):
            _log.info("%d jobs of before still run or wait", len(left) - len(idle))
        shards = [
            Shard(self._journal(number), start, self.shares[number], processes, threads) for number in idle
        ]
        waiting = iter(idle)
        for jobs in self.cluster.submit(self._logs, shards):
            for job, number in zip(jobs, waiting):
                self._held[number], self.jobs[number] = job, job.job_id
            self._write()
            _log.info("jobs submitted: %d, %s to %s", len(jobs), jobs[0].job_id, jobs[-1].job_id)

    def _running(self, number: int) -> bool:
        """Whether a share's job still runs or waits for its turn."""
        job = self._held.get(number)
        if self.cluster.kind == "debug":
            if job is not None:
                job.exception()  # computes it, here
            return False
        return (job is not None and not job.done()) or _locked(self._journal(number))

    def _wait(self, progress: Progress) -> list[int]:
        """Wait until every share is done or its job is dead; those."""
        left, dead = list(range(len(self.shares))), []
        while left:
            still = []
            for number in left:
                before = len(self._results(number))
                running = self._running(number)  # asked first: what it wrote before its end is read then
                done = len(self._results(number))
                for _ in range(done - before):
                    progress.step()
                if done == len(self.shares[number]):
                    continue
                if running:
                    still.append(number)
                else:
                    dead.append(number)
                    _log.warning("job %d of %d died: %s", number + 1, len(self.shares), self._told(number))
            left = still
            if left:
                time.sleep(_POLL[self.cluster.kind])
        return dead

    def _told(self, number: int) -> str:
        """Why a job died, as far as its log knows, and where that lies."""
        job, job_id = self._held.get(number), self.jobs[number]
        if job is not None and self.cluster.kind == "debug":
            return str(job.exception())
        log = job_log(self._logs, str(job_id))
        text = log.read_text(errors="replace") if log.is_file() else ""
        said = [line for line in text.splitlines() if line.strip()]
        return f"{said[-1].strip() if said else 'it said nothing'} (job {job_id}, its log: {log})"

    def _results(self, number: int) -> list[Any]:
        """What a share's journal holds by now."""
        journal = self._journal(number)
        seen = self._seen.setdefault(number, (0, []))
        try:
            with journal.open("rb") as file:  # opened, a network's file system tells its present size
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return seen[1]
        if size != seen[0]:
            entries = Journal(journal, read_only=True).entries
            self._seen[number] = size, [entry["result"] for entry in entries]
        return self._seen[number][1]

    def _write(self) -> None:
        content = {"cluster": self.cluster.kind, "folder": self.folder.name, "jobs": self.jobs}
        write_json(self.folder.parent / SUBMISSION, {**content, "shares": self.shares})


def _record(folder: Path) -> dict[str, Any] | None:
    record = folder / SUBMISSION
    if not record.is_file():
        return None
    try:
        content = dict(json.loads(record.read_text(encoding="utf-8")))
        if set(content) >= {"cluster", "folder", "jobs", "shares"}:
            return content
    except (TypeError, ValueError):
        pass
    raise UserError(f"{record} is damaged: use --force to start afresh")


def _threads(count: int | None) -> AbstractContextManager[None]:
    """PyTorch's threads; it is not imported for nothing."""
    if count is None:
        return nullcontext()
    from foresight_ext.devices import threads_set

    return threads_set(count)


def _lock_of(journal: Path) -> Path:
    return journal.with_suffix(".lock")


def _locked(journal: Path) -> bool:
    """Whether some process writes a journal."""
    if not _lock_of(journal).is_file():
        return False
    with _lock_of(journal).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
