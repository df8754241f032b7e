"""A space of one's own (tests/chain_space.py) is searched, validated, resumed and trained like the others."""

import json

import pytest
import torch

from foresight_ext import discretise
from foresight_ext.devices import Compute
from foresight_ext.errors import UserError
from foresight_ext.images.source import ImageSettings
from foresight_ext.runs.folder import Place
from foresight_ext.search.run import SearchRun
from foresight_ext.search.settings import SearchSettings
from foresight_ext.supernets.supernet import Masked
from foresight_ext.training.run import Job, train
from foresight_ext.training.settings import TrainSettings
from tests.chain_space import CANDIDATES, ChainSpace
from tests.running import stopped_after

SETTINGS = SearchSettings(pool_size=3, validate_rounds=2, batch_size=16)
DIGITS, CPU = ImageSettings("digits"), Compute("cpu", threads=1)


def run_of(out, space=None, settings=SETTINGS, stage="all"):
    return SearchRun(space or ChainSpace(), DIGITS, settings, Place(out, "mine"), CPU, stage)


def entries(run, name):
    """A journal without what takes a different time each time."""
    lines = (run.path / f"{name}.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


def test_it_is_searched_validated_and_trained(tmp_path, capsys):
    run = run_of(tmp_path)
    genotype = run.run()
    assert run.path == tmp_path / "chain/mine-seed0-digits-jacob-random"
    assert set(genotype.split("-")) <= set(CANDIDATES)
    assert json.loads((run.path / "best_networks.json").read_text())["networks"] == genotype
    assert [len(entries(run, name)) for name in ("search", "validation")] == [
        3 * 3,
        2 * len(json.loads((run.path / "summary.json").read_text())["scores"]),
    ]
    job = Job("chain", genotype, run.space.train_spec, DIGITS, run.path / "training")
    result = train(job, TrainSettings(), Place(tmp_path), CPU)
    assert result["test_accuracy"]["last"] > 30  # chance is 10
    assert capsys.readouterr() == ("", "")  # a library prints nothing, but keeps a log
    assert f"architecture: {genotype}" in (run.path / "log.txt").read_text()
    assert "test accuracy (protocol holdout)" in (run.path / "training/log.txt").read_text()


@pytest.mark.parametrize("metrics", [("snip",), ("synflow", "nwot")])
def test_stopped_anywhere_it_goes_on_to_the_same(tmp_path, metrics):
    settings = SearchSettings(metrics=metrics, pool_size=2, validate_rounds=2, batch_size=8)
    whole = run_of(tmp_path / "whole", settings=settings)
    genotype = whole.run()
    for count in (1, 4, 2):
        with stopped_after(count), pytest.raises(KeyboardInterrupt):
            run_of(tmp_path / "parts", settings=settings).run()
    parts = run_of(tmp_path / "parts", settings=settings)
    assert parts.run() == genotype
    for name in ("search", "validation"):
        assert entries(parts, name) == entries(whole, name)


def test_the_core_takes_its_supernet_as_it_is():
    torch.manual_seed(0)
    supernet = ChainSpace().build_supernet(10)
    pairs = [(torch.randn(8, 3, 16, 16), torch.arange(8)) for _ in range(3)]
    found = discretise(supernet, "jacob", pairs)
    assert list(found.kept) == ["layer0", "layer1", "layer2"]
    # S(A - (e,o)) is what the proxy says of the supernet without the operation
    first = found.decisions[0]
    assert len(first.scores) == len(CANDIDATES)
    assert first.candidate == first.scores.index(min(first.scores))


def test_a_mixing_of_one_candidate_each_is_the_stand_alone_network():
    space = ChainSpace()
    torch.manual_seed(0)
    supernet = space.build_supernet(10).eval()
    network = space.build_network("conv1x1-skip-conv3x3", 10).eval()
    for place, (layer, index) in enumerate(zip(supernet.layers, (1, 2, 0))):
        network.layers[place][0] = layer[index]
    network.stem, network.classifier = supernet.stem, supernet.classifier
    x = torch.randn(4, 3, 16, 16)
    mixing = ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    with torch.no_grad():
        torch.testing.assert_close(Masked(supernet, mixing)(x), network(x))


class PoolOnly(ChainSpace):
    """Says that its pool is not validated."""

    validates = False


def test_a_space_without_validation_ends_with_its_pool(tmp_path):
    run = run_of(tmp_path, PoolOnly())
    assert run.run() is None
    assert (run.path / "networks_pool.json").is_file()
    assert not (run.path / "validation.jsonl").exists()
    assert run.run() is None  # finished before
    with pytest.raises(UserError, match="--stage validation: the space chain has no validation"):
        run_of(tmp_path, PoolOnly(), stage="validation").run()
