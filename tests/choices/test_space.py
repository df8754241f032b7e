"""A network with MixedOps as a space like the others: a run folder, a stop at any moment, drawings."""

import json
import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from foresight_ext.choices.space import NetworkSpace
from foresight_ext.devices import Compute
from foresight_ext.images.source import ImageSettings
from foresight_ext.parallel.workers import Workers
from foresight_ext.runs.folder import Place
from foresight_ext.search.run import SearchRun
from foresight_ext.search.settings import SearchSettings
from tests.choices.networks import SHALLOW, Cell, Plain
from tests.running import stopped_after

SETTINGS = SearchSettings(metrics=("synflow",), pool_size=2, validate_rounds=2, batch_size=8)


def run_of(build, out, stage="all", settings=SETTINGS):
    place = Place(out, "mine")
    return SearchRun(NetworkSpace(build), ImageSettings("digits"), settings, place, Compute("cpu"), stage)


def scores_of(run):
    return json.loads((run.path / "summary.json").read_text())["scores"]


@pytest.mark.parametrize("build", [Plain, Cell])
@pytest.mark.parametrize("entries", [3, 6, 9])
def test_a_run_that_is_stopped_goes_on_to_the_same(build, entries, tmp_path):
    whole, parts = run_of(build, tmp_path / "whole"), run_of(build, tmp_path / "parts")
    genotype = whole.run()
    assert whole.space.build_network(genotype, 10).head.out_features == 10
    assert (whole.path / "own.svg").is_file()
    with stopped_after(entries), pytest.raises(KeyboardInterrupt):
        parts.run()
    again = run_of(build, tmp_path / "parts")
    assert again.run() == genotype
    assert scores_of(again) == scores_of(whole)


class Restless(nn.Module):
    """Draws in its forward pass, counts its runs and goes by their number."""

    def __init__(self):
        super().__init__()
        self.plain = Plain(10)
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, x):
        self.runs += 1
        return self.plain(nn.functional.dropout(x)) * self.runs


@pytest.mark.parametrize("proxy", ["snip", "jacob", "near"])
def test_what_a_network_draws_is_the_minibatchs(proxy, tmp_path):
    """Alone, stopped and gone on, and in processes, from whatever state the caller's streams are in."""
    settings = replace(SETTINGS, metrics=(proxy,))
    found = []
    for name in ("whole", "parts", "shared"):
        torch.rand(len(found))
        random.random()
        run = run_of(Restless, tmp_path / name, settings=settings)
        if name == "parts":
            with stopped_after(5), pytest.raises(KeyboardInterrupt):
                run.run()
            run = run_of(Restless, tmp_path / name, settings=settings)
        if name == "shared":
            run.workers = Workers(processes=2)
        run.run()
        decisions = [json.loads(line) for line in (run.path / "search.jsonl").read_text().splitlines()]
        found.append((scores_of(run), [one["scores"] for one in decisions]))
    assert found[0] == found[1] == found[2]


def test_members_whose_nested_choices_do_not_run_are_whole(tmp_path):
    """They have fewer decisions; their pool is validated in a process of its own."""
    settings = replace(SETTINGS, pool_size=6, edge_decision="sample")
    searched = run_of(Plain, tmp_path, "search", settings)
    searched.run()
    [*pool] = json.loads((searched.path / "networks_pool.json").read_text())["networks"]
    shallow = ["out/deep" not in one["genotype"] for one in pool]
    assert any(shallow) and not all(shallow)
    winner = run_of(Plain, tmp_path, "validation", settings).run()
    assert winner in [one["genotype"] for one in pool]
    (searched.path / "networks_pool.json").unlink()  # it comes out of the journal
    again = run_of(Plain, tmp_path, "search", settings)
    again.run()
    assert json.loads((again.path / "networks_pool.json").read_text())["networks"] == pool


def test_a_genotype_is_drawn_as_a_chain():
    [cell] = NetworkSpace(Plain, "mine").cells("out=skip,pair=conv3x3,down=conv,stem=1")
    assert (cell.name, cell.nodes) == ("mine", ("input", *SHALLOW))
    assert [edge.label for edge in cell.edges] == list(SHALLOW.values())
