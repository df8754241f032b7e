"""Which cluster computes, and how tasks get there, by submitit: SLURM, or this machine to try it out."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from foresight_ext.errors import UserError, reason

if TYPE_CHECKING:  # an extra
    import submitit

# SLURM; processes of this machine that outlive the caller; this process
CLUSTERS = ("slurm", "local", "debug")
ARRAY_SIZE = 1000  # clusters often allow 1,001
# what submitit has for every kind of cluster; all else is SLURM's
_GENERAL = {"timeout_min": int, "mem_gb": float, "cpus_per_task": int, "gpus_per_node": int, "name": str}
# what is no single value: commands of the job's script, and arguments of srun, apart at blanks
_LISTS: dict[str, Callable[[str], list[str]]] = {
    "setup": lambda text: [text],
    "teardown": lambda text: [text],
    "srun_args": shlex.split,
}
# how often a job may run out of time and go on in a new one; submitit's 3 would end a search of four hours
_TIMES_OUT = 1000
# what can't be given, and why: a task of ours is one process, which starts others itself
_NOT_OURS = {
    **dict.fromkeys(
        ("nodes", "tasks_per_node", "ntasks_per_node"),
        "a task is one process; jobs=N is their number",
    ),
    "additional_parameters": "what submitit has no name for goes into sbatch's environment (SBATCH_...)",
}


@dataclass(frozen=True)
class Cluster:
    """Where tasks are submitted to: `kind` is one of CLUSTERS.

    They are shared out to `jobs` jobs (None: ARRAY_SIZE on SLURM, else a job a core), in arrays of at most
    `array_size`. `parameters` are submitit's, such as timeout_min and, for SLURM, partition.
    """

    kind: str
    jobs: int | None = None
    array_size: int = ARRAY_SIZE
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """UserError if nothing can be submitted from here, or submitit knows no such parameter."""
        if self.kind == "slurm":
            for program in ("sbatch", "srun"):
                if which(program) is None:
                    told = f"there is no {program} here: start it on a machine of the cluster"
                    raise UserError(f"--cluster slurm: {told}, or use --cluster local")
        with TemporaryDirectory() as folder:
            self._executor(Path(folder))

    def submit(self, folder: Path, tasks: Sequence[Any]) -> "Iterator[list[submitit.Job[None]]]":
        """Submit callables, an array at a time: the jobs of each; UserError if the cluster refuses them."""
        executor = self._executor(folder)
        for first in range(0, len(tasks), self.array_size):
            with _refusals(), executor.batch():
                jobs = [executor.submit(task) for task in tasks[first : first + self.array_size]]
            yield jobs

    def known(self, folder: Path, job: str) -> "submitit.Job[None] | None":
        """A job that another process submitted, by its id; None where only that one knows of it."""
        submitit = _submitit(self.kind)
        return submitit.SlurmJob(folder, job) if self.kind == "slurm" else None

    def _executor(self, folder: Path) -> "submitit.AutoExecutor":
        submitit = _submitit(self.kind)
        executor = submitit.AutoExecutor(folder, cluster=self.kind, slurm_max_num_timeout=_TIMES_OUT)
        named = {name if name in _GENERAL else f"slurm_{name}": one for name, one in self.parameters.items()}
        with _refusals():
            executor.update_parameters(**{"name": "zero-cost-pt", "timeout_min": 60, **named})
        return executor


def cluster_of(kind: str, text: str, cores: int) -> Cluster:
    """The cluster that --cluster and --slurm (KEY=VALUE,KEY=VALUE...) mean; UserError if they make no sense.

    A job has so many `cores` unless they say otherwise.
    """
    given: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.strip().partition("=")
        if not (name.isidentifier() and equals and value):
            raise UserError(f"--slurm: '{part}' is no KEY=VALUE, such as partition=short")
        if name in given:
            raise UserError(f"--slurm: {name} comes twice in '{text}': leave one out")
        if name in _NOT_OURS:
            raise UserError(f"--slurm: {name} must be left out: {_NOT_OURS[name]}")
        given[name] = _value(name, value)
        if given[name] is False and name != "use_srun":
            del given[name]  # that a flag is not set is what submitit starts from
    jobs, array_size = given.pop("jobs", None), given.pop("array_size", ARRAY_SIZE)
    return Cluster(kind, jobs, array_size, {"cpus_per_task": cores, **given})


def job_log(folder: Path, job: str) -> Path:
    """Where a job of one task, known by its id, writes what it says."""
    from submitit.core.utils import JobPaths

    return JobPaths(folder, job, 0).stderr


def _value(name: str, text: str) -> Any:
    """What a parameter's text stands for: a number, true or false, a list where submitit takes one."""
    if name in _LISTS:
        try:
            return _LISTS[name](text)
        except ValueError as error:
            raise UserError(f"--slurm: {name}={text}: {error}") from error
    kind = {"jobs": int, "array_size": int, **_GENERAL}.get(name)
    if kind is None and text in ("true", "false"):
        return text == "true"
    value: Any
    try:
        value = kind(text) if kind is not None else int(text) if text.isdecimal() else text
    except ValueError:
        value = 0
    if kind in (int, float) and not 0 < value < float("inf"):
        raise UserError(f"--slurm: {name}={text} must be a {'whole ' * (kind is int)}number above 0")
    return value


@contextmanager
def _refusals() -> Iterator[None]:
    """What submitit or the cluster says of what is submitted, in one line."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        yield
    except NameError as error:
        own = ", ".join(("jobs", "array_size", *_GENERAL))
        raise UserError(f"--slurm: {str(error).splitlines()[0]}, {own}") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"--slurm: {str(error).splitlines()[0]}") from error
    except (FailedJobError, FailedSubmissionError) as error:
        raise UserError(f"--cluster: the jobs were refused: {reason(error)}") from error


def _submitit(kind: str) -> Any:
    try:
        import submitit
    except ImportError as error:
        told = "needs submitit: pip install submitit, or the project's extra: pip install '.[cluster]'"
        raise UserError(f"--cluster {kind} {told}") from error
    return submitit
