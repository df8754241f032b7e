"""A network with MixedOps as a space like the others: a run folder, a stop at any moment, drawings."""

import json

import pytest

from foresight_ext.choices.space import NetworkSpace
from foresight_ext.devices import Compute
from foresight_ext.images.source import ImageSettings
from foresight_ext.runs.folder import Place
from foresight_ext.runs.journal import Journal
from foresight_ext.search.run import SearchRun
from foresight_ext.search.settings import SearchSettings
from tests.choices.networks import SHALLOW, Cell, Plain

SETTINGS = SearchSettings(metrics=("synflow",), pool_size=2, validate_rounds=2, batch_size=8)


def run_of(build, out):
    return SearchRun(
        NetworkSpace(build), ImageSettings("digits"), SETTINGS, Place(out, "mine"), Compute("cpu")
    )


def scores_of(run):
    return json.loads((run.path / "summary.json").read_text())["scores"]


@pytest.mark.parametrize("build", [Plain, Cell])
def test_a_run_that_is_stopped_goes_on_to_the_same(build, tmp_path, monkeypatch):
    whole, parts = run_of(build, tmp_path / "whole"), run_of(build, tmp_path / "parts")
    genotype = whole.run()
    assert whole.space.build_network(genotype, 10).head.out_features == 10
    assert (whole.path / "own.svg").is_file()
    append = Journal.append

    def stopping(journal, entry):
        append(journal, entry)
        if len(journal.entries) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "append", stopping)
        parts.run()
    again = run_of(build, tmp_path / "parts")
    assert again.run() == genotype
    assert scores_of(again) == scores_of(whole)


def test_a_genotype_is_drawn_as_a_chain():
    [cell] = NetworkSpace(Plain, "mine").cells("out=skip,pair=conv3x3,down=conv,stem=1")
    assert (cell.name, cell.nodes) == ("mine", ("input", *SHALLOW))
    assert [edge.label for edge in cell.edges] == list(SHALLOW.values())
