"""Runs in several processes: the same files as in one, also after a kill."""

from tests.running import read, stopped_after
from tests.search.run.runs import (
    BEST,
    DECISIONS,
    NAME,
    POOL,
    SCORES,
    SMALL,
    done,
    journal,
    run,
    without_seconds,
)


def same(folder, other):
    """Whether two runs left the same, but for seconds."""
    for name in (POOL, BEST):
        assert (folder / name).read_bytes() == (other / name).read_bytes()
    for stage in ("search", "validation"):
        assert without_seconds(journal(folder, stage)) == without_seconds(journal(other, stage))
    here, there = (read(one, "summary.json") for one in (folder, other))
    assert {**here, "seconds": 0} == {**there, "seconds": 0}


def test_processes_leave_the_same_files(uninterrupted, tmp_path):
    """Stopped within the validation, it goes on with another number of processes."""
    with stopped_after(DECISIONS + 7):
        assert run(tmp_path, *SMALL, "--processes=2").code == 130
    assert len(journal(tmp_path / NAME, "validation")) == 7
    told = done(tmp_path, *SMALL, "--processes=3")
    assert told.says(f"validation: going on after 7 of {SCORES} minibatches") == 1
    same(tmp_path / NAME, uninterrupted.folder)
