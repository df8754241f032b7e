"""Several processes of this machine: the order of results, what each starts with, mistakes and deaths."""

import subprocess
import sys
import time
import warnings
from contextlib import closing
from pathlib import Path

import pytest

from foresight_ext.errors import UserError
from foresight_ext.parallel.processes import in_processes
from tests import PROJECT_ROOT
from tests.parallel.work import Squares, of_threads


def said(log, word):
    return [line.split()[1] for line in log.read_text().splitlines() if line.split()[0] == word]


@pytest.mark.parametrize("processes", [1, 3])
def test_results_come_in_the_order_of_the_tasks(tmp_path, processes):
    numbers = [5, 3, 9, 1, 7, 0, 2]
    found = in_processes(Squares(tmp_path / "log"), iter(numbers), processes, None)
    assert list(found) == [number * number for number in numbers]
    starts = said(tmp_path / "log", "start")
    assert len(set(starts)) == len(starts) <= processes  # once in each


def test_processes_have_one_thread_unless_more_are_asked(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert list(in_processes(of_threads, [0], 2, None)) == ["1"]
    assert list(in_processes(of_threads, [0], 2, 3)) == ["3"]
    assert list(in_processes(of_threads, [0], 1, None)) == ["7"]  # this process is as it is


def test_what_a_task_raises_is_raised_here(tmp_path):
    found = in_processes(Squares(tmp_path / "log"), [1, -2, 3], 2, None)
    assert next(found) == 1
    with pytest.raises(UserError, match="^-2 is below 0$"):
        next(found)


def test_a_dead_process_is_told_and_the_next_ones_work(tmp_path):
    """One task kills its process, as the system does with those that take too much memory."""
    with pytest.raises(UserError, match="a worker process died, perhaps of too little memory"):
        list(in_processes(Squares(tmp_path / "log", fatal=(3,)), range(6), 2, None))
    assert list(in_processes(Squares(tmp_path / "log"), range(4), 2, None)) == [0, 1, 4, 9]


def test_closing_stops_what_still_runs(tmp_path, recwarn):
    with closing(in_processes(Squares(tmp_path / "log", seconds=0.2), range(500), 2, None)) as found:
        assert next(found) == 0
    assert len((tmp_path / "log").read_text().splitlines()) < 50
    assert [str(one.message) for one in recwarn.list] == []


def test_a_process_that_is_replaced_is_no_news(tmp_path, recwarn):
    assert list(in_processes(Squares(tmp_path / "log"), [3], 2, None)) == [9]
    warnings.warn("A worker stopped while some jobs were given to the executor. This can be", stacklevel=1)
    assert [str(one.message) for one in recwarn.list] == []


def test_processes_end_when_their_parent_is_killed(tmp_path):
    program = (
        "from pathlib import Path; from tests.parallel.work import Squares; "
        "from foresight_ext.parallel.processes import in_processes; "
        f"list(in_processes(Squares(Path({str(tmp_path / 'log')!r}), 60.0), range(4), 2, None))"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT_ROOT) as parent:
        while not (tmp_path / "log").exists() or len(said(tmp_path / "log", "start")) < 2:
            assert parent.poll() is None
            time.sleep(0.05)
        parent.kill()
    deadline = time.monotonic() + 30
    left = [int(one) for one in said(tmp_path / "log", "start")]
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [one for one in left if runs(one)]
    assert not left


def runs(process):
    """Whether a process is there, and no mere entry of a table that nobody has asked for yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
