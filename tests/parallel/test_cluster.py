"""Jobs of a cluster: on this machine, and on a SLURM whose programs only write down what they are told."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from submitit import SlurmJob
from submitit.core.utils import DelayedSubmission

from foresight_ext.errors import UserError
from foresight_ext.parallel import shards
from foresight_ext.parallel.cluster import cluster_of
from foresight_ext.parallel.workers import Workers
from foresight_ext.runs.progress import Progress
from tests import PROJECT_ROOT
from tests.parallel.work import Squares

SQUARES = [number * number for number in range(10)]


def workers(kind, slurm):
    return Workers(cluster=cluster_of(kind, slurm, 1))


def results(kind, slurm, start, run, tasks=range(10)):
    """What Workers.results gives, but that PyTorch is not imported to set its threads."""
    submission = shards.Submission.of(run / "cluster", cluster_of(kind, slurm, 1), list(tasks))
    submission.compute(start, 1, None, "squares")
    return list(submission.results())


def numbers(run):
    """The numbers that were squared so far."""
    if not (run / "log").exists():
        return []
    words = [line.split()[0] for line in (run / "log").read_text().splitlines()]
    return sorted(int(word) for word in words if word != "start")


@pytest.fixture(autouse=True)
def jobs_find_the_project(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))


# ---- this machine


@pytest.mark.parametrize("kind", ["local", "debug"])
def test_results_are_those_of_one_process_and_nothing_is_left(tmp_path, kind):
    assert results(kind, "jobs=3", Squares(tmp_path / "log"), tmp_path) == SQUARES
    assert numbers(tmp_path) == list(range(10))
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_job_that_dies_is_named_and_the_others_go_on(tmp_path, caplog):
    start = Squares(tmp_path / "log", fatal=(4,))  # 1, 4 and 7 are a job
    with pytest.raises(UserError, match=r"^1 of 3 jobs died \(2\), their logs are in .*: the same command"):
        results("local", "jobs=3", start, tmp_path)
    [died] = [record.getMessage() for record in caplog.records if "died" in record.getMessage()]
    assert died.startswith("job 2 of 3 died: ")
    log = re.search(r"its log: (.*)\)", died)[1]
    assert Path(log).is_file()
    assert numbers(tmp_path) == [0, 1, 2, 3, 5, 6, 8, 9]
    (tmp_path / "well").touch()
    assert results("local", "jobs=3", start, tmp_path) == SQUARES
    assert numbers(tmp_path) == list(range(10))  # nothing twice


def test_a_job_of_a_caller_that_is_gone_is_named_with_its_log(tmp_path, caplog):
    submission = shards.Submission(tmp_path, cluster_of("local", "", 1), [[1], [2]], ["123", "124"])
    log = tmp_path / "jobs" / "124_0_log.err"
    log.parent.mkdir()
    log.write_text("a first line\nKilled\n\n")
    assert submission._wait(Progress("squares", 2)) == [0, 1]
    assert f"job 1 of 2 died: it said nothing (job 123, its log: {log.parent}/123_0_log.err)" in caplog.text
    assert f"job 2 of 2 died: Killed (job 124, its log: {log})" in caplog.text


def test_a_mistake_in_a_job_is_told(tmp_path, caplog):
    with pytest.raises(UserError, match="1 of 1 jobs died"):
        results("local", "jobs=1", Squares(tmp_path / "log"), tmp_path, [1, -1])
    assert "job 1 of 1 died: foresight_ext.errors.UserError: -1 is below 0 (job " in caplog.text


def test_a_caller_that_is_killed_comes_back(tmp_path):
    command = [sys.executable, "-m", "tests.parallel.work", str(tmp_path), "0.1", "30"]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.DEVNULL) as caller:
        while len(numbers(tmp_path)) < 3:
            assert caller.poll() is None
            time.sleep(0.02)
        caller.kill()
    before = len(numbers(tmp_path))
    assert before < 30
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{[number * number for number in range(30)]}\n"
    assert numbers(tmp_path) == list(range(30))  # jobs went on, and nothing was submitted again


def test_a_job_that_is_preempted_is_queued_again_and_goes_on(tmp_path, monkeypatch):
    begun = []

    def preempt(seconds):
        """The first sleep of the caller after the job has begun."""
        if not begun and len(numbers(tmp_path)) > 2:
            begun.append(int((tmp_path / "log").read_text().split()[1]))
            os.kill(begun[0], signal.SIGUSR2)
        time.sleep(0.02)

    monkeypatch.setattr(shards, "time", SimpleNamespace(sleep=preempt))
    assert results("local", "jobs=1", Squares(tmp_path / "log", seconds=0.1), tmp_path) == SQUARES
    processes = [line.split()[1] for line in (tmp_path / "log").read_text().splitlines() if "start" in line]
    assert len(processes) == 2
    assert set(numbers(tmp_path)) == set(range(10))
    assert len(numbers(tmp_path)) <= 11  # at most the one that was being computed comes twice


def test_jobs_of_another_kind_are_not_forgotten(tmp_path):
    with pytest.raises(UserError):
        results("debug", "jobs=1", Squares(tmp_path / "log"), tmp_path, [-1])
    told = f"{tmp_path} has jobs of --cluster debug: go on with --cluster debug, or start afresh by --force"
    for other in (Workers(), workers("local", "")):
        with pytest.raises(UserError, match=re.escape(told)):
            other.results(Squares(tmp_path / "log"), [1], tmp_path, "squares")
    (tmp_path / "cluster/submission.json").write_text("{}")
    with pytest.raises(UserError, match=r"submission\.json is damaged: use --force to start afresh"):
        Workers().results(Squares(tmp_path / "log"), [1], tmp_path, "squares")


# ---- SLURM


class Slurm:
    """SLURM's programs, in a folder of PATH. `scripts` are those that were submitted, by job id."""

    def __init__(self, folder):
        self.folder = folder
        self.write("srun", "exit 1")
        number = 'n=$(ls "$0".d | wc -l); n=$((n + 100))'
        self.write("sbatch", f'{number}; cp "$1" "$0".d/$n; echo "Submitted batch job $n"')
        (folder / "sbatch.d").mkdir()
        self.write("sacct", f'echo "JobID|State|NodeList"; cat {folder}/states')

    def write(self, name, text):
        (self.folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (self.folder / name).chmod(0o755)

    @property
    def scripts(self):
        return {int(path.name): path.read_text() for path in (self.folder / "sbatch.d").iterdir()}

    def states(self, **states):
        """What sacct says of jobs, by ids such as j100_0."""
        lines = [f"{job[1:]}|{state}|n1" for job, state in states.items()]
        (self.folder / "states").write_text("\n".join(lines) + "\n")
        SlurmJob.watcher.clear()  # it asks every few seconds only


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Slurm(folder)


class Left(Exception):
    """The caller goes away."""


def computing(run, slurm, monkeypatch, *plans):
    """Let each sleep of the caller follow the next plan: what jobs do. Then the caller leaves."""
    left = iter(plans)

    def sleep(seconds):
        plan = next(left, None)
        if plan is None:
            raise Left
        for job, state in plan.items():
            if state == "COMPLETED":
                pickle = next((run / "cluster").glob(f"*/jobs/{job[1:]}_submitted.pkl"))
                DelayedSubmission.load(pickle).result()
        slurm.states(**plan)

    monkeypatch.setattr(shards, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))


def test_what_is_submitted_and_who_comes_back(tmp_path, slurm, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    asked = "partition=short,timeout_min=90,jobs=5,array_size=3,mem_gb=2"
    start = Squares(run / "log")
    running = {f"j100_{number}": "RUNNING" for number in range(3)} | {
        "j101_0": "PENDING",
        "j101_1": "PENDING",
    }
    slurm.states(**running)
    computing(run, slurm, monkeypatch, running, {**running, "j100_1": "COMPLETED"})
    with pytest.raises(Left):
        results("slurm", asked, start, run)
    first, second = slurm.scripts[100], slurm.scripts[101]
    assert "#SBATCH --array=0-2%3\n" in first and "#SBATCH --array=0-1%2\n" in second
    for script in (first, second):
        for option in ("partition=short", "time=90", "mem=2GB", "cpus-per-task=1", "job-name=zero-cost-pt"):
            assert f"#SBATCH --{option}\n" in script
        assert f"-m submitit.core._submit {run}/cluster/" in script
    assert numbers(run) == [1, 6]

    # the same command again: nothing is submitted while the jobs run; one of them dies
    ended = dict.fromkeys(running, "COMPLETED") | {"j100_2": "FAILED"}
    computing(run, slurm, monkeypatch, ended)
    slurm.states(**running)
    with pytest.raises(UserError, match=r"1 of 5 jobs died \(3\)"):
        results("slurm", asked, start, run)
    assert set(slurm.scripts) == {100, 101}
    assert numbers(run) == [0, 1, 3, 4, 5, 6, 8, 9]

    # and again: that one alone is submitted
    slurm.states(**ended)
    computing(run, slurm, monkeypatch, {"j102": "COMPLETED"})
    assert results("slurm", asked, start, run) == SQUARES
    assert set(slurm.scripts) == {100, 101, 102}
    assert "--array" not in slurm.scripts[102]
    assert numbers(run) == list(range(10))


def test_parameters_that_are_no_words(tmp_path, slurm, monkeypatch):
    """What is true, false or a list; and a job may run out of time more often than submitit's three times."""
    computing(tmp_path, slurm, monkeypatch)
    slurm.states(j100="PENDING")
    lists = "setup=module load python/3.11,srun_args=-v '--mem=1 G'"
    asked = f"jobs=1,{lists},exclusive=false,stderr_to_stdout=true"
    with pytest.raises(Left):
        results("slurm", asked, Squares(tmp_path / "log"), tmp_path)
    script = slurm.scripts[100]
    assert "\n# setup\nmodule load python/3.11\n" in script
    assert " -v '--mem=1 G' " in script
    assert "exclusive" not in script and "--error" not in script
    pickle = next((tmp_path / "cluster").glob("*/jobs/*_submitted.pkl"))
    assert DelayedSubmission.load(pickle)._timeout_countdown > 100


def test_a_script_without_srun(tmp_path, slurm, monkeypatch):
    computing(tmp_path, slurm, monkeypatch)
    slurm.states(j100="PENDING")
    with pytest.raises(Left):
        results("slurm", "jobs=1,use_srun=false,exclusive=true", Squares(tmp_path / "log"), tmp_path)
    assert "#SBATCH --exclusive\n" in slurm.scripts[100]
    assert "srun --unbuffered" not in slurm.scripts[100]


def test_jobs_that_are_refused_are_told_in_one_line(tmp_path, slurm, capfd):
    slurm.write("sbatch", 'echo "sbatch: error: invalid partition specified: shrt" >&2; exit 1')
    with pytest.raises(
        UserError, match="--cluster: the jobs were refused: .*invalid partition specified: shrt"
    ):
        results("slurm", "partition=shrt", Squares(tmp_path / "log"), tmp_path)
    assert "\n" not in capfd.readouterr().err.strip()


@pytest.mark.parametrize(
    "slurm, message",
    [
        ("partition", "--slurm: 'partition' is no KEY=VALUE, such as partition=short"),
        ("time=5,time=6", "--slurm: time comes twice in 'time=5,time=6': leave one out"),
        ("nodes=2", "--slurm: nodes must be left out: a task is one process; jobs=N is their number"),
        ("additional_parameters=a", "--slurm: additional_parameters must be left out: what submitit has no"),
        ("srun_args=-v '", "--slurm: srun_args=-v ': No closing quotation"),
        ("jobs=0", "--slurm: jobs=0 must be a whole number above 0"),
        ("mem_gb=much", "--slurm: mem_gb=much must be a number above 0"),
        ("partitoin=short", "--slurm: Unknown argument 'partitoin' for executor 'slurm'"),
    ],
)
def test_what_makes_no_sense_is_told(slurm, message):
    with pytest.raises(UserError, match=re.escape(message)):
        cluster_of("local", slurm, 1).check()


def test_a_machine_without_slurm_or_submitit_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="--cluster slurm: there is no sbatch here: start it on a machine of"):
        cluster_of("slurm", "", 1).check()
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(
        UserError, match=r"--cluster local needs submitit: pip install submitit, or .*cluster"
    ):
        cluster_of("local", "", 1).check()
