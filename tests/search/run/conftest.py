"""A finished run that tests copy, counts of what is computed, and no benchmark but the test's own."""

import shutil

import pytest

from foresight_ext.measures import PROXIES
from foresight_ext.search import discretise as core
from nasbench201 import benchmark
from tests.search.run.runs import NAME, SMALL, done


@pytest.fixture(autouse=True, scope="module")
def no_benchmark_lies_about(tmp_path_factory):
    """What the developer has in data/ has no part in these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "DATA_FOLDER", tmp_path_factory.mktemp("data"))
        yield


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A run from start to end. Tests read its folder, and copy it before they change anything."""
    return done(tmp_path_factory.mktemp("out"), *SMALL)


@pytest.fixture
def out(uninterrupted, tmp_path):
    """A folder for --out with a copy of the finished run."""
    shutil.copytree(uninterrupted.folder, tmp_path / "out" / NAME)
    return tmp_path / "out"


@pytest.fixture
def calls(monkeypatch):
    """Counts what is computed: decisions of the search, minibatches of the validation."""
    counted = {"decisions": 0, "minibatches": 0}

    def counting(what, function):
        def counter(*arguments):
            counted[what] += 1
            return function(*arguments)

        return counter

    monkeypatch.setattr(core, "operation_scores", counting("decisions", core.operation_scores))
    proxy = PROXIES.get("jacob")
    monkeypatch.setattr(proxy, "score", counting("minibatches", proxy.score))
    return counted
