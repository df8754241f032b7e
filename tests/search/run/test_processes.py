"""Runs in several processes: the same files as in one, also after a kill."""

from foresight_ext.devices import Compute
from foresight_ext.images.source import ImageSettings
from foresight_ext.parallel.workers import Workers
from foresight_ext.runs.folder import Place
from foresight_ext.search.run import SearchRun
from foresight_ext.search.settings import SearchSettings
from sota.cnn.space import DartsSpace
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
    lines,
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
    """Stopped within the search and within the validation, it goes on with another number of processes."""
    with stopped_after(2):  # entries of the run's own journals; processes go on with theirs
        assert run(tmp_path, *SMALL, "--processes=2").code == 130
    assert len(journal(tmp_path / NAME, "search")) == 2
    assert len(lines(tmp_path / NAME / "members/00000.jsonl")) == DECISIONS / 2
    with stopped_after(DECISIONS - 2 + 7):
        assert run(tmp_path, *SMALL, "--processes=3").code == 130
    assert len(journal(tmp_path / NAME, "validation")) == 7
    told = done(tmp_path, *SMALL, "--processes=2")
    assert told.says(f"validation: going on after 7 of {SCORES} minibatches") == 1
    same(tmp_path / NAME, uninterrupted.folder)
    assert not (tmp_path / NAME / "members").exists()


def test_one_process_goes_on_with_what_several_have_decided(uninterrupted, out, calls):
    """Member 0 stands in the run's journal but for its end, which its own has; member 1 has begun."""
    folder = out / NAME
    decided = lines(folder / "search.jsonl")
    (folder / "members").mkdir()
    for name, kept in (
        ("search.jsonl", decided[:4]),
        ("members/00000.jsonl", decided[2:6]),
        ("members/00001.jsonl", decided[6:9]),
    ):
        (folder / name).write_bytes(b"".join(line + b"\n" for line in kept))
    for name in (POOL, BEST, "validation.jsonl"):
        (folder / name).unlink()
    done(out, *SMALL)
    assert calls == {"decisions": DECISIONS - 9, "minibatches": SCORES}
    assert lines(folder / "search.jsonl")[:9] == decided[:9]
    same(folder, uninterrupted.folder)
    assert not (folder / "members").exists()


def test_members_whose_draws_depend_on_each_other_are_done_in_one_process(tmp_path, caplog):
    settings = SearchSettings(edge_decision="sample", pool_size=2, batch_size=4)
    compute, workers = Compute("cpu"), Workers(processes=2)
    images = ImageSettings("digits")
    space = DartsSpace("s5").smallest()
    SearchRun(space, images, settings, Place(tmp_path), compute, "search", workers=workers).run()
    assert "search: in one process: what a member draws depends on the one before" in caplog.messages
