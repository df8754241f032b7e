"""Several processes of this machine: the order of results, what each starts with, mistakes and deaths."""

from contextlib import closing

import pytest

from foresight_ext.errors import UserError
from foresight_ext.parallel.processes import in_processes
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
