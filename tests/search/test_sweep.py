"""Sweeps: what their shared pools and validations come to is what runs of their own come to."""

import pickle
from dataclasses import replace

import pytest

from foresight_ext.devices import Compute
from foresight_ext.errors import UserError
from foresight_ext.images.source import ImageSettings
from foresight_ext.parallel.cluster import Cluster
from foresight_ext.parallel.workers import ALONE, Workers
from foresight_ext.runs.folder import Place
from foresight_ext.runs.journal import Journal
from foresight_ext.runs.results import BEST, POOL, read_own
from foresight_ext.search import SPACES, sweep
from foresight_ext.search.run import SearchRun
from foresight_ext.search.settings import SearchSettings
from foresight_ext.search.sweep import searched, swept
from tests import PROJECT_ROOT
from tests.running import stopped_after

SETTINGS = SearchSettings(seed=3, pool_size=3, batch_size=8)
ROUNDS = (1, 2)


def run_in(folder, settings=SETTINGS, space="nas-bench-201", stage="all"):
    made = SPACES.get(space)().smallest()
    return SearchRun(made, ImageSettings("digits"), settings, Place(folder), Compute("cpu"), stage)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return folder, searched(run_in(folder), ROUNDS)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_equals_a_run_of_that_size(found, tmp_path, size, rounds):
    _, sweep = found
    run = run_in(tmp_path, replace(SETTINGS, pool_size=size, validate_rounds=rounds))
    run.run()
    assert read_own(run.path / POOL) == sweep.pool[:size]
    winner, search, validation = sweep.winner(size, rounds)
    assert [winner] == read_own(run.path / BEST)
    assert search > 0
    assert (validation > 0) == (size > 1)


def test_is_not_computed_again(found, monkeypatch):
    folder, sweep = found

    def computed(journal, entry):
        raise AssertionError(f"{journal.path} grows")

    monkeypatch.setattr(Journal, "append", computed)
    assert searched(run_in(folder), ROUNDS) == sweep
    smaller = searched(run_in(folder, replace(SETTINGS, pool_size=2)), ROUNDS)
    assert smaller == sweep  # the larger pool holds it
    one = searched(run_in(folder, replace(SETTINGS, pool_size=1)), ROUNDS)
    assert (one.winner(1, 1), one.validations) == (sweep.winner(1, 1), {})


def test_processes_change_nothing_and_open_the_images_themselves(found, tmp_path):
    run = run_in(tmp_path)
    [sweep] = swept([(run, (1,))], Workers(processes=2), tmp_path / "table")
    assert sweep.pool == found[1].pool
    assert sweep.winner(3, 1)[0] == found[1].winner(3, 1)[0]
    _ = run.images.open("train")
    assert len(pickle.dumps(run.images)) < 1000


def test_goes_on_after_a_kill(found, tmp_path):
    _, sweep = found
    for entries in (4, 16, 3):  # in a member, in either validation
        with stopped_after(entries), pytest.raises(KeyboardInterrupt):
            searched(run_in(tmp_path), ROUNDS)
    again = searched(run_in(tmp_path), ROUNDS)
    assert again.pool == sweep.pool
    assert [one["scores"] for one in again.entries] == [one["scores"] for one in sweep.entries]
    assert all(again.winner(3, rounds)[0] == sweep.winner(3, rounds)[0] for rounds in ROUNDS)


def test_opens_a_data_set_once(tmp_path, monkeypatch):
    opened = []
    original = ImageSettings.open
    monkeypatch.setattr(ImageSettings, "open", lambda *of: opened.append(of) or original(*of))
    many = [(run_in(tmp_path, replace(SETTINGS, seed=seed, pool_size=1)), ()) for seed in (0, 1)]
    assert [one.settings.seed for one in swept(many, ALONE, tmp_path / "table")] == [0, 1]
    assert len(opened) == 1


# ---- runs shared out to processes, or to jobs of a cluster


def many_in(folder, force=False, **changed):
    """Runs of two seeds, each with the V's that validate its pool."""
    runs = [run_in(folder, replace(SETTINGS, seed=seed, pool_size=2, **changed)) for seed in (3, 4)]
    for run in runs:
        run.place = replace(run.place, force=force)
    return [(run, ROUNDS) for run in runs]


def outcomes(many, workers, folder):
    """What sweeps come to, seconds apart."""
    return [
        (
            one.pool,
            [entry["scores"] for entry in one.entries],
            [one.winner(2, rounds)[0] for rounds in ROUNDS],
        )
        for one in swept(many, workers, folder)
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return outcomes(many_in(folder), ALONE, folder / "table")


@pytest.mark.parametrize(
    "workers",
    [Workers(processes=2), *(Workers(cluster=Cluster(kind, jobs=2)) for kind in ("local", "debug"))],
)
def test_sharing_changes_nothing(alone, tmp_path, monkeypatch, caplog, workers):
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))
    caplog.set_level("INFO")
    table = tmp_path / "table"
    assert outcomes(many_in(tmp_path), workers, table) == alone
    assert f"2 searches in {workers}" in caplog.text
    assert list(table.iterdir()) == []
    # what is finished asks for no cluster
    caplog.clear()
    assert outcomes(many_in(tmp_path), Workers(cluster=Cluster("slurm")), table) == alone
    assert "searches in" not in caplog.text


def test_force_starts_afresh_once(alone, tmp_path, monkeypatch):
    outcomes(many_in(tmp_path), ALONE, tmp_path)
    monkeypatch.setattr(sweep, "searched", lambda run, rounds: pytest.fail("begun"))
    with pytest.raises(pytest.fail.Exception):
        outcomes(many_in(tmp_path, force=True), Workers(cluster=Cluster("debug", jobs=1)), tmp_path / "table")
    assert not list(tmp_path.glob("nas-bench-201/*/*.json*"))  # of the validations neither
    monkeypatch.undo()
    # jobs that were left are forgotten as well, whatever the cluster
    table, local = tmp_path / "table", Workers(cluster=Cluster("local"))
    with pytest.raises(
        UserError, match="has jobs of --cluster debug: go on with --cluster debug, or start af"
    ):
        outcomes(many_in(tmp_path), local, table)
    with stopped_after(5), pytest.raises(KeyboardInterrupt):
        outcomes(many_in(tmp_path, force=True), ALONE, table)
    assert not (table / "cluster").exists()
    with stopped_after(5), pytest.raises(KeyboardInterrupt):
        outcomes(many_in(tmp_path, force=True), ALONE, tmp_path)
    kept = next(tmp_path.glob("nas-bench-201/*/search.jsonl")).read_text()
    assert outcomes(many_in(tmp_path), ALONE, tmp_path) == alone
    assert next(tmp_path.glob("nas-bench-201/*seed3*/search.jsonl")).read_text().startswith(kept)


def test_what_is_asked_wrongly_is_told_before_anything_is_computed(tmp_path):
    *_, (last, _) = many_in(tmp_path)
    searched(last, ())
    for workers in (ALONE, Workers(processes=2)):
        with pytest.raises(
            UserError, match=r"seed4.* is a run with other settings \(batch_size 8 there, 9 asked"
        ):
            outcomes(many_in(tmp_path, batch_size=9), workers, tmp_path / "table")
    assert [path.name for path in tmp_path.iterdir()] == ["nas-bench-201"]
    assert len(list(tmp_path.glob("nas-bench-201/*"))) == 1
    with pytest.raises(UserError, match="--cluster slurm: there is no sbatch here"):
        outcomes(many_in(tmp_path), Workers(cluster=Cluster("slurm")), tmp_path / "table")
    assert len(list(tmp_path.glob("nas-bench-201/*"))) == 1
