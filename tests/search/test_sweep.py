"""Sweeps: what their shared pools and validations come to is what runs of their own come to."""

import pickle
from dataclasses import replace

import pytest

from foresight_ext.devices import Compute
from foresight_ext.images.source import ImageSettings
from foresight_ext.parallel.workers import Workers
from foresight_ext.runs.folder import Place
from foresight_ext.runs.journal import Journal
from foresight_ext.runs.results import BEST, POOL, read_own
from foresight_ext.search import SPACES
from foresight_ext.search.run import SearchRun
from foresight_ext.search.settings import SearchSettings
from foresight_ext.search.sweep import searched, swept
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
    run.workers = Workers(processes=2)
    [sweep] = swept([(run, (1,))])
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
    assert [one.settings.seed for one in swept(many)] == [0, 1]
    assert len(opened) == 1
